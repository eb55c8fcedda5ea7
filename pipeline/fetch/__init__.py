"""Stage 3: ask within the limits."""
