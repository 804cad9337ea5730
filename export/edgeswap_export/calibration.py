"""Collect realistic inputs of each graph, by swapping rendered faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.pictures import pictures_of
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.data import read_dataset
from edgeswap_export.graphs.entries import fixed_arrays, graph_entries
from edgeswap_export.graphs.example import SwapExample
from edgeswap_export.graphs.swap_graphs import SwapGraphs, picture_role
from edgeswap_export.graphs.swap_run import SwapRun
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.bundle.manifest import Schedule
from edgeswap_runtime.bundle.run_order import DECODE

Feeds = dict[str, list[dict[str, NDArray[np.float32]]]]
"""Graph name -> the inputs that it was given."""

ROWS_KEPT = 4
"""Denoiser inputs that are kept of one swap, evenly over its schedule."""

CALIBRATION_SWAPS, PARITY_SWAPS = 24, 4
"""Swaps of USUAL_PX crops that value ranges are measured on, and that a converted graph is compared
on; none is among both."""
USUAL_PX = 96


def usual_swaps(count: int, size_px: int, least: int = 1) -> int:
    """Give how many swaps of larger crops have as many pixels as some usual ones.

    Args:
        count: of the usual swaps, of USUAL_PX crops.
        size_px: side of the crops.
        least: fewest swaps, so that there is more than one person.
    """
    return min(count, max(least, round(count * (USUAL_PX / size_px) ** 2)))


def rendered_examples(swap: SwapConfig, count: int, part: str, seed: int) -> list[SwapExample]:
    """Draw swaps of people in the packaged dataset.

    Args:
        swap: the checkpoint's settings: size of the crops, shape of the noise.
        count: how many swaps.
        part: "calibration" or "parity": two halves of the dataset without a picture in common.
        seed: of the choice of people and of the noise.
    """
    dataset = read_dataset(calibration_dataset())
    generator = np.random.default_rng([seed, len(part)])
    half = [group for group in dataset.groups if group % 2 == (part == "parity")]
    triplets = dataset.triplets()
    shape = (1, swap.latent_channels, swap.latent_size, swap.latent_size)
    examples = []
    for _ in range(count):
        images = dataset.images(half[generator.integers(len(half))])
        source, target, _ = triplets[generator.integers(len(triplets))]
        noise = generator.standard_normal(shape, dtype=np.float32)
        examples.append(
            SwapExample(
                target=_crop(images[target], swap.resolution_px),
                source=_crop(images[source], swap.resolution_px),
                noise=torch.from_numpy(noise),
            )
        )
    return examples


def feeds_of_swaps(
    backend: OrtBackend,
    checkpoint: Checkpoint,
    graphs: SwapGraphs,
    examples: Sequence[SwapExample],
    schedules: Sequence[Schedule],
) -> Feeds:
    """Record what each graph is given when the runtime's sampler swaps the examples.

    Args:
        backend: holds the bundle's graphs.
        checkpoint: that the graphs were made of.
        graphs: all of them, of any swap.
        examples: each is swapped with the next of the schedules, so that together they visit the
            timesteps of all.
        schedules: at least one.
    """
    needed = SwapConditioner.of(checkpoint).crops
    feeds: Feeds = {name: [] for name in graphs.torch}
    for index, example in enumerate(examples):
        met: Feeds = {name: [] for name in (*graphs.torch, *graphs.files)}

        def keep(name: str, inputs: dict[str, NDArray[np.float32]], met: Feeds = met) -> None:
            met[name].append(inputs)

        fixed = fixed_arrays(graphs, checkpoint.swap.guidance_scale)
        run = SwapRun(backend, graph_entries(graphs), fixed, watch=keep)
        pictures = pictures_of(checkpoint.swap, needed, example.target, example.source, {})
        arrays = {picture_role(name): value.numpy() for name, value in pictures.items()}
        draw = _noise(example, np.random.default_rng(index))
        met[DECODE] = [run.sample(arrays, schedules[index % len(schedules)], draw)]
        rows = len(met["denoise"])
        kept = np.unique(np.linspace(0, rows - 1, ROWS_KEPT).round().astype(int))
        met["denoise"] = [met["denoise"][row] for row in kept]
        for name, found in feeds.items():
            found += met[name]
    return feeds


def _noise(
    example: SwapExample, generator: np.random.Generator
) -> Callable[[], NDArray[np.float32]]:
    """Give the example's noise, then draw."""
    start = [example.noise.numpy()]

    def draw() -> NDArray[np.float32]:
        if start:
            return start.pop()
        return generator.standard_normal(example.noise.shape, dtype=np.float32)

    return draw


def _crop(picture: NDArray[np.uint8], size_px: int) -> torch.Tensor:
    if picture.shape[0] != size_px:
        resized = Image.fromarray(picture).resize((size_px, size_px), Image.Resampling.BICUBIC)
        picture = np.asarray(resized)
    values = picture.astype(np.float32) / 127.5 - 1.0
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
