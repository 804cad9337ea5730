"""Pictures on disk: read any common kind, write them marked as generated."""
