"""The embedded insights service: speaks v7 over loopback, answers from the user's own catalogue."""
