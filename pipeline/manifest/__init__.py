"""Stage 1: rows, lazily, from a manifest."""
