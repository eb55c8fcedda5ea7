"""Alerts: which changes and runs somebody wants to hear of, what they are told, and by which way."""
