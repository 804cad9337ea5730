"""Whole swaps, or their sampling, as one graph, for applications without the runtime."""
