"""The search for a plan: importance, candidates, widths, and the choice between plans."""
