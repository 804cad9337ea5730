"""Load other people's conditioners, which they install as entry points."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any, cast

from edgeswap_compress.conditioning.condition import Conditioner
from edgeswap_compress.conditioning.specs import PluginSpec
from edgeswap_compress.errors import InvalidCheckpoint

GROUP = "edgeswap.conditioners"
"""Entry points, each a function from a folder to a `Conditioner`."""

METHODS = ("crops", "graphs", "condition", "null")


def load_plugin(spec: PluginSpec, folder: Path) -> Conditioner:
    """Make a conditioner by the installed entry point that a checkpoint names.

    Only what its user has installed is run: a checkpoint holds no code.

    Args:
        spec: names the entry point.
        folder: what the entry point reads.

    Raises:
        InvalidCheckpoint: none is installed under that name, or it makes something else.
    """
    found = importlib.metadata.entry_points(group=GROUP)
    names = sorted(point.name for point in found)
    if spec.entry not in names:
        raise InvalidCheckpoint(
            f"swap.json: conditions: entry {spec.entry!r}",
            expected=f"an installed entry point of {GROUP}: install the package that has it",
            found=names or "none",
        )
    made: Any = found[spec.entry].load()(folder)
    if missing := [name for name in METHODS if not hasattr(made, name)]:
        raise InvalidCheckpoint(
            f"entry point {spec.entry!r} of {GROUP}", expected=f"an object with {METHODS}",
            found=f"a {type(made).__name__} without {missing[0]}",
        )  # fmt: skip
    return cast(Conditioner, made)
