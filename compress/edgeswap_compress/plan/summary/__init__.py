"""Summaries of a plan: a table of its blocks and a picture of its layers."""
