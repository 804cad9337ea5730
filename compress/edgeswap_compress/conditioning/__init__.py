"""What the U-Net is told of the source: encoders and their outputs."""
