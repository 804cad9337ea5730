"""Find the packaged portraits: rendered pictures of nobody, to try things on."""

from __future__ import annotations

import importlib.resources
from pathlib import Path


def packaged_portraits() -> list[Path]:
    """Return the portraits' paths, sorted by name; PNG. Empty where none are packaged."""
    folder = Path(str(importlib.resources.files("edgeswap_runtime"))) / "portraits"
    return sorted(folder.glob("*.png"))
