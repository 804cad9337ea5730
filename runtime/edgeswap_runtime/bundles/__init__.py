"""The bundle that comes with the runtime: swaps faces without any other download."""

from __future__ import annotations

from pathlib import Path


def default_bundle() -> Path:
    """Name the folder of the packaged bundle, the one that is used where none is named.

    It is what `edgeswap export STUDENT BUNDLE --compact` makes of the packaged student.

    Returns:
        the bundle's folder.
    """
    return Path(__file__).parent / "student"
