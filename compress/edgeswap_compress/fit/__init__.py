"""The training engine: loop, optimizer, dtype, latent cache, losses, run folder, processes."""
