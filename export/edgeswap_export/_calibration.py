"""Collect realistic inputs of each graph, by swapping rendered faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.data import read_dataset
from edgeswap_export.graphs.example import SwapExample
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.bundle.manifest import Schedule
from edgeswap_runtime.sampler import sample_latents

Feeds = dict[str, list[dict[str, NDArray[np.float32]]]]
"""Graph name -> the inputs that it was given."""

ROWS_KEPT = 4
"""Denoiser inputs that are kept of one swap, evenly over its schedule."""


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
    examples: Sequence[SwapExample],
    schedules: Sequence[Schedule],
    guidance_scale: float,
) -> Feeds:
    """Record what each graph is given when the runtime's sampler swaps the examples.

    Args:
        backend: holds the bundle's graphs.
        examples: each is swapped with the next of the schedules, so that together they visit the
            timesteps of all.
        schedules: at least one.
        guidance_scale: the bundle's.
    """
    feeds: Feeds = {"encode": [], "identity": [], "denoise": [], "decode": []}
    for index, example in enumerate(examples):
        schedule = schedules[index % len(schedules)]
        _feed_one(backend, example, schedule, guidance_scale, np.random.default_rng(index), feeds)
    return feeds


def _feed_one(
    backend: OrtBackend,
    example: SwapExample,
    schedule: Schedule,
    guidance_scale: float,
    generator: np.random.Generator,
    feeds: Feeds,
) -> None:
    start = [example.noise.numpy()]
    fixed: dict[str, NDArray[np.float32]] = {}

    def run(
        graph: str, inputs: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        uploaded = {name: backend.upload(value) for name, value in inputs.items()}
        return {k: backend.download(v) for k, v in backend.run(graph, uploaded).items()}

    def draw() -> NDArray[np.float32]:
        if start:
            return start.pop()
        return generator.standard_normal(example.noise.shape, dtype=np.float32)

    for graph, name, crop in (
        ("encode", "target", example.target),
        ("identity", "source", example.source),
    ):
        inputs = {name: crop.numpy()}
        feeds[graph].append(inputs)
        fixed |= run(graph, inputs)
    met = []

    def denoise(sample: NDArray[np.float32], timestep: float) -> NDArray[np.float32]:
        inputs = {
            "sample": sample.astype(np.float32),
            "timestep": np.array([timestep], np.float32),
            **fixed,
        }
        if guidance_scale != 1.0:
            inputs["guidance"] = np.array([guidance_scale], np.float32)
        met.append(inputs)
        return run("denoise", inputs)["output"]

    sample = sample_latents(schedule, denoise, draw)
    kept = np.unique(np.linspace(0, len(met) - 1, ROWS_KEPT).round().astype(int))
    feeds["denoise"] += [met[row] for row in kept]
    feeds["decode"].append({"sample": sample, "target_latents": fixed["target_latents"]})


def _crop(picture: NDArray[np.uint8], size_px: int) -> torch.Tensor:
    if picture.shape[0] != size_px:
        resized = Image.fromarray(picture).resize((size_px, size_px), Image.Resampling.BICUBIC)
        picture = np.asarray(resized)
    values = picture.astype(np.float32) / 127.5 - 1.0
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
