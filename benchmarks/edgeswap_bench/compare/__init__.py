"""Compare bundles, checkpoints and reports: in turns in one run, or from two files."""
