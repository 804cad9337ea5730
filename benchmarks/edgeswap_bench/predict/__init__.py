"""Estimate latencies on devices that are not at hand, from the graph and published limits."""
