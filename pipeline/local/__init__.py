"""The one door to the embedded service: starting it for a run, and serving it by itself."""
