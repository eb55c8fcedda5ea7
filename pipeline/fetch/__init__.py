"""Stage 3: ask the service within its limits: pace, retry, and one connection pool that never shows the key."""
