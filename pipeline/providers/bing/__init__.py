"""The Bing Visual Search v7 protocol: its requests, its responses, its errors."""
