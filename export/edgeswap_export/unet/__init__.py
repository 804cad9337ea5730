"""TODO unet."""
