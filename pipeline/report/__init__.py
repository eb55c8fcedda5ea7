"""What happened: run.json, metrics, progress."""
