"""What lasts from run to run: the database of a job, its ledger, its stored answers, its checkpoints."""
