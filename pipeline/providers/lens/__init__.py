"""Google Lens by way of SerpApi's engine google_lens: how it is asked and understood (docs/providers.md)."""
