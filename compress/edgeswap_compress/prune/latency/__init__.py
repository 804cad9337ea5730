"""TODO latency."""
