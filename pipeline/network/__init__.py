"""What all that sends shares: connections, proxies, certificates, and how servers ask to wait."""
