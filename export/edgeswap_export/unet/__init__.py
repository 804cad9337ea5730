"""Export of a bare diffusers U-Net, whole or pruned."""
