"""The whole way in one command: prune, distill, export, swap, time, report."""
