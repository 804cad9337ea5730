"""Check a file before anything slow is done for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.errors import InvalidRequest, OutputExists

if TYPE_CHECKING:
    from pathlib import Path


def require_new_file(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be written.

    Raises:
        OutputExists: it is there, and may not be replaced.
        InvalidRequest: its folder does not exist, or it is a folder itself.
    """
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"cannot be written: no folder {path.parent}"
        raise InvalidRequest(f"{path} {what}; name a file in a folder that exists")
    if path.exists() and not overwrite:
        raise OutputExists(path, "name another file, or add --overwrite")
