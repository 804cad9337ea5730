"""Checkpoints: the folder format, its swap.json, latents, the reference pipeline."""
