"""Prove that exported graphs compute what torch computes."""
