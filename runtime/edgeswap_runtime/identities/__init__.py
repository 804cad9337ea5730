"""Identities as files: read once from photos, used for any number of swaps."""
