"""Tiny true architectures with random weights, in the files that their owners publish.

They stand in for the real checkpoints where none can be had: every layer, name and file layout is
the published one, only narrower, and each is made in a second.
"""
