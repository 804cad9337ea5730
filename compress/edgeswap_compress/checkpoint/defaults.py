"""Find the default checkpoints and the packaged dataset."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from edgeswap_compress.errors import CompressError

NAMES = ("teacher", "student")
DISTRIBUTION = "edgeswap-checkpoints"
PACKAGE = "edgeswap_checkpoints"
"""What the distribution installs: the same folders that a checkout has as `weights`."""

CALIBRATION = Path(__file__).parents[1] / "calibration"


def default_checkpoint(name: str) -> Path:
    """Find a default checkpoint: in the checkout, else where edgeswap-checkpoints is installed.

    Args:
        name: ``"teacher"`` or ``"student"``.

    Returns:
        its folder.

    Raises:
        CompressError: another name, or neither a checkout nor an installation holds it.
    """
    if name not in NAMES:
        raise CompressError(f"no default checkpoint {name!r}: expected one of {list(NAMES)}")
    homes = [Path(__file__).parents[1] / "weights"]
    found = importlib.util.find_spec(PACKAGE)
    if found is not None:
        homes += [Path(place) for place in found.submodule_search_locations or ()]
    for home in homes:
        if (home / name).is_dir():
            return home / name
    raise CompressError(
        f"the default {name} is not installed: expected the distribution {DISTRIBUTION}; type"
        " python -m pip install ./compress/checkpoints in a checkout of edgeswap"
    )


def calibration_dataset() -> Path:
    """Find the folder of the small packaged dataset, used where no other dataset is named."""
    return CALIBRATION
