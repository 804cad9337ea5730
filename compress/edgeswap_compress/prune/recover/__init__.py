"""Recovery: rounds of pruning, each followed by a short training."""
