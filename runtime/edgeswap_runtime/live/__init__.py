"""Swap faces in what a camera sees: a page on this machine, a pipe, a virtual camera."""
