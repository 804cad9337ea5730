"""Accept a bundle on a machine with an NVIDIA GPU: build, run, compare, refit, time, report."""
