"""Evaluation on photographs, whose swaps have no known truth."""
