"""Synthetic adults as geometry: shapes, skins, expressions, and a person in a scene."""
