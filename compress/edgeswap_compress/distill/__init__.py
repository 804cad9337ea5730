"""Distillation: from many guided steps to one or a few without guidance."""
