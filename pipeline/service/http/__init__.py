"""The HTTP side of the service: checks requests of the v7 protocol, builds its responses, and logs both."""
