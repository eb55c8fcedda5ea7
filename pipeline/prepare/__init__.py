"""Stage 2: read a row's picture and bring it within the provider's limits."""
