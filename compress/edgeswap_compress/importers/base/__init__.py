"""What all families share: backbones, encoders, text, reference runs, parity."""
