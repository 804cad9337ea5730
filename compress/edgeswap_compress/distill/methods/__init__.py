"""Distillation methods, one module each."""
