"""Faces in a picture: detect, refine landmarks, align a crop, paste it back."""
