"""Who may ask the embedded service, and how much."""
