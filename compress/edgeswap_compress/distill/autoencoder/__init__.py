"""TODO autoencoder."""
