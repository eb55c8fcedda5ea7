"""Access to the embedded service: API keys, rate limits, monthly quotas, load, and the hosts it answers to."""
