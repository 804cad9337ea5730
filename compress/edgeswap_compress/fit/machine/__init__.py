"""Where a fit computes: device, memory, and what lets it take less."""
