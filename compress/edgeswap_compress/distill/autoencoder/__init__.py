"""Distillation of a large autoencoder into a small encoder and decoder."""
