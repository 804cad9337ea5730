"""Choose the demo's photos: packaged renders of people who do not exist, and the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeswap_runtime import read_picture
from edgeswap_runtime.pictures.portraits import packaged_portraits


@dataclass(frozen=True, slots=True)
class Pair:
    """One swap to show.

    Attributes:
        name: of the swap.
        source: (H, W, 3) uint8 RGB.
        target: (H, W, 3) uint8 RGB.
    """

    name: str
    source: NDArray[np.uint8]
    target: NDArray[np.uint8]


def packaged_pairs() -> list[Pair]:
    """Pair every packaged source with the target of the same number."""
    paths = {path.stem: path for path in packaged_portraits()}
    numbers = [name.removeprefix("source-") for name in paths if name.startswith("source-")]
    return [
        Pair(
            f"portrait {n}", read_picture(paths[f"source-{n}"]), read_picture(paths[f"target-{n}"])
        )
        for n in numbers
    ]


def demo_pairs(source: Path | None, target: Path | None) -> list[Pair]:
    """List the packaged pairs, and one more with the user's photos.

    Args:
        source: the user's photo; None takes that of the first packaged pair.
        target: likewise; without either there is no additional pair.

    Raises:
        UnreadablePicture: a photo cannot be read.
    """
    pairs = packaged_pairs()
    if source is None and target is None:
        return pairs
    first = pairs[0]
    return [
        *pairs,
        Pair(
            "your photos",
            first.source if source is None else read_picture(source),
            first.target if target is None else read_picture(target),
        ),
    ]
