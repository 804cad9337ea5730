"""Import other people's checkpoints: `edgeswap import FAMILY`."""
