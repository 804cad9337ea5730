"""TODO parity."""
