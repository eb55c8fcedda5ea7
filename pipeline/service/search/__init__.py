"""Searches by words: the query, the full-text index of the catalogue, and the log of the searches made."""
