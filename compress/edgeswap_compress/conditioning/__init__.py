"""TODO conditioning."""
