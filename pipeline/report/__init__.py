"""The reports of a run: run.json, metrics.prom, the progress line."""
