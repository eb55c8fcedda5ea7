"""What is left to do: the rows of the manifest compared with the ledger."""
