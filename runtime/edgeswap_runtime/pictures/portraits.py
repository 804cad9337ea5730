"""The synthetic portraits that ship with the runtime: pictures to try things on."""

from __future__ import annotations

import importlib.resources
from pathlib import Path


def packaged_portraits() -> list[Path]:
    """Their paths, by name; PNG, rendered, of nobody who exists. Empty where none are packaged."""
    folder = Path(str(importlib.resources.files("edgeswap_runtime"))) / "portraits"
    return sorted(folder.glob("*.png"))
