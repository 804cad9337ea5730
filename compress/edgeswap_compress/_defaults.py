"""Where the default models and the packaged dataset lie."""

from __future__ import annotations

from pathlib import Path

from edgeswap_compress._errors import CompressError

NAMES = ("teacher", "student")


def default_checkpoint(name: str) -> Path:
    """Folder of a packaged default checkpoint.

    Args:
        name: ``"teacher"`` or ``"student"``.

    Raises:
        CompressError: another name, or an installation without the weights.
    """
    if name not in NAMES:
        raise CompressError(f"no default checkpoint {name!r}: expected one of {list(NAMES)}")
    folder = Path(__file__).parent / "weights" / name
    if not folder.is_dir():
        raise CompressError(
            f"the default {name} is not installed: expected {folder}, found nothing; "
            "install edgeswap again"
        )
    return folder


def calibration_dataset() -> Path:
    """Folder of the small packaged dataset, for distilling where nothing was rendered."""
    return Path(__file__).parent / "calibration"
