"""Draw a seeded swap example with realistic values, for tracing and for parity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from edgeswap_compress.checkpoint.swap_config import SwapConfig

SEED = 20260801
COARSE_PX = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapExample:
    """The inputs of one swap: two aligned crops and the noise that sampling starts from.

    Attributes:
        target: (1, 3, R, R) float32 RGB in [-1, 1].
        source: (1, 3, R, R) float32 RGB in [-1, 1].
        noise: (1, C, S, S) float32, standard normal.
    """

    target: Tensor
    source: Tensor
    noise: Tensor


def seeded_example(swap: SwapConfig, seed: int = SEED) -> SwapExample:
    """Draw an example for a checkpoint; the same seed gives the same numbers on every machine.

    Args:
        swap: the checkpoint's settings: size of the crops, shape of the noise.
        seed: of numpy's generator.
    """
    generator = np.random.default_rng(seed)
    target, source = (smooth_picture(generator, swap.resolution_px) for _ in range(2))
    shape = (1, swap.latent_channels, swap.latent_size, swap.latent_size)
    noise = generator.standard_normal(shape, dtype=np.float32)
    return SwapExample(
        target=torch.from_numpy(target),
        source=torch.from_numpy(source),
        noise=torch.from_numpy(noise),
    )


def smooth_picture(generator: np.random.Generator, size_px: int) -> NDArray[np.float32]:
    """Draw a picture (1, 3, R, R) in [-1, 1], as smooth as a photo: blobs with a little grain."""
    coarse = generator.uniform(-1.2, 1.2, (3, COARSE_PX, COARSE_PX)).astype(np.float32)
    blobs = [
        np.asarray(Image.fromarray(plane).resize((size_px, size_px), Image.Resampling.BICUBIC))
        for plane in coarse
    ]
    grain = generator.normal(0.0, 0.03, (3, size_px, size_px)).astype(np.float32)
    return np.clip(np.stack(blobs) + grain, -1.0, 1.0)[None].astype(np.float32)
