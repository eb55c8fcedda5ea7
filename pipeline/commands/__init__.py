"""What the commands do beside a run: plan, check, retry, renormalise."""
