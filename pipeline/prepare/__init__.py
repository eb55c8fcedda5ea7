"""Stage 2: a row's bytes, then within the provider's limits."""
