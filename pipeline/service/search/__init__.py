"""Searches of the catalogue by words, and the log of what was searched for."""
