"""Detect faces, refine their landmarks, cut aligned crops, paste them back."""
