"""Training the default teacher: autoencoder, identity encoder, conditioned denoiser."""
