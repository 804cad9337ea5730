"""The whole way in one command: prune, distil, export, swap, time, report."""
