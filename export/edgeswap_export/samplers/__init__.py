"""Samplers: one module for each, which writes it as a table of numbers for the runtime."""
