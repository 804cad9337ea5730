"""Compare swaps with the exact truth, which is known of rendered people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeswap_compress.data import read_dataset
from edgeswap_compress.evaluate.metrics import psnr

SwapCrops = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]
"""(R, R, 3) uint8 RGB target and source, aligned -> the swapped crop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truths:
    """N pairs of the packaged dataset with the exact truth.

    Attributes:
        targets: (N, R, R, 3) uint8 RGB.
        sources: (N, R, R, 3) uint8 RGB.
        truths: (N, R, R, 3) uint8 RGB, the true swaps.
        faces: (N, R, R), 0 to 1, how much of each pixel of the target is inner face.
    """

    targets: NDArray[np.uint8]
    sources: NDArray[np.uint8]
    truths: NDArray[np.uint8]
    faces: NDArray[np.float64]


def read_truths(dataset: Path, count: int) -> Truths:
    """Draw pairs of different people; the same ones on every machine.

    Args:
        dataset: folder of a rendered dataset.
        count: how many pairs.
    """
    data, random = read_dataset(dataset), np.random.default_rng(0)
    triplets = data.triplets()
    picked: list[list[NDArray[np.uint8]]] = [[], [], [], []]
    for _ in range(count):
        group = int(random.integers(len(data)))
        source, target, truth = triplets[random.integers(len(triplets))]
        images, masks = data.images(group), data.masks(group)
        for place, value in enumerate((images[target], images[source], images[truth])):
            picked[place].append(value)
        picked[3].append(masks[target])
    targets, sources, truths, faces = (np.stack(values) for values in picked)
    return Truths(targets=targets, sources=sources, truths=truths, faces=faces / 255.0)


def fidelity(
    swaps: Mapping[str, SwapCrops], pairs: Truths, tell: Callable[[int, int], None]
) -> dict[str, float]:
    """Measure how near each model comes to the truth inside the face, in decibels.

    Args:
        swaps: name -> model.
        pairs: the pairs to swap.
        tell: called with the pairs done and the pairs in all.

    Returns:
        name -> mean PSNR, dB; "unchanged" is that of the target as it is.
    """
    made: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in swaps}
    for done, (target, source) in enumerate(zip(pairs.targets, pairs.sources, strict=True)):
        for name, swap in swaps.items():
            made[name].append(swap(target, source))
        tell(done + 1, len(pairs.targets))
    found = {name: np.stack(pictures) for name, pictures in made.items()}
    found["unchanged"] = pairs.targets
    return {n: float(psnr(p, pairs.truths, pairs.faces).mean()) for n, p in found.items()}
