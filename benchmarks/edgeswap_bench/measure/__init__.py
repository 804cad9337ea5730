"""Time a bundle: stages, graphs, whole swaps, cold starts, throughput, memory and energy."""
