"""Locate the cache folder, for files that can be made or downloaded again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return `$EDGESWAP_CACHE`, else this platform's cache folder; it need not exist yet."""
    if chosen := os.environ.get("EDGESWAP_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "edgeswap"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "edgeswap"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgeswap"
