"""Import checkpoints in Paint by Example's layout, REFace's among them."""
