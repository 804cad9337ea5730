"""Render people with occluders, any light and a camera: renderer version 4."""
