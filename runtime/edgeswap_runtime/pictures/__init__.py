"""Read pictures of any common kind, and write them marked as generated."""
