"""Compare an imported checkpoint with diffusers' own pipeline, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.pipeline import SwapPipeline
from edgeswap_compress.importers.base.reference import EnoughSteps, OnStep, quiet
from edgeswap_compress.importers.errors import NotReproduced

ALLOWED = 1e-4
"""Largest difference of any latent pixel after any step, in standard deviations of the latents."""

FEW = 3
LARGE = 50_000_000
"""Parameters of a U-Net from which `FEW` steps are compared unless asked otherwise."""


def steps_to_prove(checkpoint: Checkpoint, asked: int | None) -> int:
    """Decide how many steps are compared.

    Args:
        checkpoint: the imported one.
        asked: by the user; None leaves it to the model's size.
    """
    sampling = checkpoint.swap.sampling
    run = sampling.start.kept(sampling.steps)
    size = sum(p.numel() for p in checkpoint.unet.parameters())
    return min(run, asked if asked is not None else FEW if size >= LARGE else run)


def prove(
    checkpoint: Checkpoint,
    pictures: Mapping[str, Tensor],
    reference: Callable[[OnStep], None],
    *,
    steps: int,
    seed: int = 0,
) -> float:
    """Sample by both pipelines and compare the latents after each step.

    Args:
        checkpoint: the imported one, float32.
        pictures: what it looks at, see `SwapPipeline`; "model/target" and "model/source" among
            them.
        reference: runs diffusers' pipeline on the same, with the noise of `torch.randn` by a
            generator of the same seed.
        steps: to compare.
        seed: of the noise.

    Returns:
        the largest difference, in standard deviations of the latents after that step.

    Raises:
        NotReproduced: it is above `ALLOWED`, or not a number, at some step.
    """
    truth = _collect(reference, steps)
    pipe = SwapPipeline.from_checkpoint(checkpoint)
    swap = checkpoint.swap
    shape = (1, swap.latent_channels, swap.latent_size, swap.latent_size)
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape, generator=random)

    def mine(on_step: OnStep) -> None:
        with quiet():
            try:
                pipe(
                    pictures["model/target"],
                    pictures["model/source"],
                    pictures=pictures,
                    noise=noise,
                    generator=random,  # goes on where the noise ended, as in diffusers' pipelines
                    on_step=on_step,
                )
            except EnoughSteps:
                return

    return compare(_collect(mine, steps), truth)


def compare(mine: list[Tensor], truth: list[Tensor]) -> float:
    """Compare latents step by step; see `prove`."""
    worst = 0.0
    if len(mine) != len(truth):
        raise NotReproduced(min(len(mine), len(truth)) + 1, found=float("nan"), allowed=ALLOWED)
    for step, (one, two) in enumerate(zip(mine, truth, strict=True), start=1):
        found = float((one - two).abs().max() / two.std())
        if not found <= ALLOWED:
            raise NotReproduced(step, found=found, allowed=ALLOWED)
        worst = max(worst, found)
    return worst


def _collect(run: Callable[[OnStep], Any], steps: int) -> list[Tensor]:
    found: list[Tensor] = []

    def on_step(_: int, latents: Tensor) -> None:
        found.append(latents.detach().float().clone())
        if len(found) >= steps:
            raise EnoughSteps

    run(on_step)
    return found
