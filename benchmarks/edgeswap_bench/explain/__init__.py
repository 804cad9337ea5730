"""Explain where the time goes: layers, arithmetic, bytes, and this machine's measured limits."""
