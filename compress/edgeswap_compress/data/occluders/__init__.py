"""TODO occluders."""
