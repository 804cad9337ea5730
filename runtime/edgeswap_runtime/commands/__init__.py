"""The commands of a runtime-only installation, one module each."""
