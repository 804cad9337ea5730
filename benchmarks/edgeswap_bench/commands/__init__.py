"""Commands of two words: `edgeswap bench compare`."""
