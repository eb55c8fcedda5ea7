"""How one insight API is asked and understood; pure functions, no I/O."""
