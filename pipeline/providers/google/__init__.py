"""Google Cloud Vision, REST version 1: how it is asked and understood (docs/providers.md)."""
