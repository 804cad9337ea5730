"""The packaged bundle: swap faces without any other download."""

from __future__ import annotations

from pathlib import Path


def default_bundle() -> Path:
    """Return the folder of the packaged bundle, which is used where none is named.

    `edgeswap export STUDENT BUNDLE --compact` made it of the packaged student checkpoint.
    """
    return Path(__file__).parents[1] / "packaged" / "student"
