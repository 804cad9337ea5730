"""Plans for a latency target: block timings, their table, and measured whole U-Nets."""
