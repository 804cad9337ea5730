"""Parity: proof that exported graphs compute what torch computes."""
