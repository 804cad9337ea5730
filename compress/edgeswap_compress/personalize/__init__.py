"""Personalization: a finished student learns one consenting person from a handful of photos."""
