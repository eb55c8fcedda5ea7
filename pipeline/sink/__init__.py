"""Stage 4: records, failures, the ledger and the stored answers."""
