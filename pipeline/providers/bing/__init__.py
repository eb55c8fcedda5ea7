"""Bing Visual Search and Image Search v7, and every endpoint that speaks it."""
