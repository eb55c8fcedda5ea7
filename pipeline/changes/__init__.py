"""What changed between two records of a row, and between two nights of a job. Pure."""
