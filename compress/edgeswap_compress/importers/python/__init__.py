"""Import a U-Net whose condition somebody's own module computes."""
