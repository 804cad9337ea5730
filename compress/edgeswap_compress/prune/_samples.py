"""Choose a model's calibration samples: of a named dataset, the packaged one, or noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.data import read_dataset
from edgeswap_compress.plan.folder import unet_home
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import (
    noise_samples,
    pipeline_scheduler,
    swap_samples,
)
from edgeswap_compress.prune.config import BEST, NEED_SAMPLES, PruneConfig
from edgeswap_compress.prune.model import Model, is_large, token_count

SAMPLES, NOISE_SAMPLES = 64, 8


def default_choice(model: Model, *, samples: int | None, data: Path | None) -> dict[str, str]:
    """Choose default pruning settings: `BEST`, or none where plans cannot be compared on samples.

    That is so where no samples are wanted, where a checkpoint's crops have another size than the
    packaged dataset's and no other is named, and where a bare U-Net is large and nobody asks for
    samples.

    Returns:
        fields of a `PruneConfig`; none of them where its own defaults hold.
    """
    if samples == 0:
        return {}
    if isinstance(model, Checkpoint):
        comparable = data is not None or _packaged(model) is not None
    else:
        comparable = samples is not None or not is_large(model)
    return dict(BEST) if comparable else {}


def calibration_samples(
    model: Model, config: PruneConfig, *, folder: Path, data: Any | None = None
) -> CalibrationSamples | None:
    """Draw the samples that a model's plans are compared on; None where none are needed.

    A swap checkpoint gets pairs of pictures whose truth is known, by default of the packaged
    dataset where its crops have the checkpoint's size. A bare U-Net gets seeded noise.

    Args:
        model: that is pruned.
        config: says how many, and whether the plan depends on them.
        folder: the model came from; a pipeline's scheduler beside the U-Net is used.
        data: a dataset that was named.

    Raises:
        PruningError: a dataset was named for a bare U-Net.
        InvalidSettings: the dataset's crops have another size than the checkpoint's.
    """
    if config.samples == 0:
        return None
    if isinstance(model, Checkpoint):
        dataset = _packaged(model) if data is None else data
        if dataset is None:
            return None
        return swap_samples(model, dataset, samples=config.samples or SAMPLES, seed=config.seed)
    if data is not None:
        raise PruningError(
            f"{folder} holds a bare U-Net, which does not say how pictures become its inputs: "
            "expected a swap checkpoint with --data; leave --data out, and noise is taken"
        )
    needed = config.choice.importance in NEED_SAMPLES or config.choice.compares
    if config.samples is None and not needed and is_large(model):
        return None
    return noise_samples(
        model.unet.config,
        tokens=token_count(model),
        samples=config.samples or NOISE_SAMPLES,
        seed=config.seed,
        scheduler=pipeline_scheduler(unet_home(folder)),
    )


def _packaged(model: Checkpoint) -> Any | None:
    """The packaged dataset, where the checkpoint swaps crops of its size."""
    dataset = read_dataset(calibration_dataset())
    return dataset if dataset.images(0).shape[1] == model.swap.resolution_px else None
