"""The pictures of the demo: packaged renders of people who do not exist, and the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeswap_runtime import read_picture


@dataclass(frozen=True, slots=True)
class Pair:
    """One swap to show: names and (H, W, 3) uint8 RGB pictures of source and target."""

    name: str
    source: NDArray[np.uint8]
    target: NDArray[np.uint8]


def packaged_pairs() -> list[Pair]:
    """Every packaged source with the target of the same number, then one crossed pair."""
    folder = files("edgeswap_runtime") / "portraits"
    pictures: dict[str, NDArray[np.uint8]] = {}
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".png"):
            with entry.open("rb") as file:
                pictures[entry.name.removesuffix(".png")] = np.asarray(
                    Image.open(file).convert("RGB")
                )
    numbers = sorted(name.removeprefix("source-") for name in pictures if "source-" in name)
    return [
        Pair(f"portrait {n}", pictures[f"source-{n}"], pictures[f"target-{n}"]) for n in numbers
    ]


def demo_pairs(source: Path | None, target: Path | None) -> list[Pair]:
    """The packaged pairs, and one more with the user's photos where given.

    A photo that was not given is taken from the first packaged pair.

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
