"""Pruning plans as data: format, checks, replay, and U-Net folders, whole or pruned."""
