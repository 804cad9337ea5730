"""Folders in diffusers' layout, checked from their files alone, without torch."""
