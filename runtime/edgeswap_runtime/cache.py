"""Locate the folders for files that can be made again, and for those that are to be kept."""

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


def config_folder() -> Path:
    """Return `$EDGESWAP_CONFIG`, else this platform's settings folder; it need not exist yet."""
    if chosen := os.environ.get("EDGESWAP_CONFIG"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home() / "AppData" / "Roaming")) / "edgeswap"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "edgeswap"
    return Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "edgeswap"
