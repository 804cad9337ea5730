"""Which samples a model is pruned by: those of a named dataset, the packaged ones, noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeswap_compress._macs import count_macs
from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.plan.folder import UNetFolder, unet_home
from edgeswap_compress.plan.meta_copy import empty_original
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import (
    noise_calibration,
    pipeline_scheduler,
    swap_calibration,
)
from edgeswap_compress.prune._config import BEST, PruneConfig
from edgeswap_compress.prune.search.importance import NEED_PROBE
from edgeswap_compress.prune.structure.inputs import DEFAULT_TOKENS, example_inputs

Model = Checkpoint | UNetFolder
"""What can be pruned; both have a `unet` and a `plan`."""

SAMPLES, NOISE_SAMPLES = 64, 8
LARGE_MACS = 50 * 10**9
"""An evaluation that costs more is neither timed nor probed unless that is asked for."""


def token_count(model: Model) -> int:
    """Length of the cross-attention sequence that a model is conditioned on.

    A checkpoint's conditioner says it; for a bare U-Net it is CLIP's.
    """
    if isinstance(model, Checkpoint):
        return int(model.conditioner.null(1).tokens.shape[1])
    return DEFAULT_TOKENS


def is_large(model: Model) -> bool:
    """Whether one evaluation of the U-Net costs more than `LARGE_MACS`."""
    inputs = example_inputs(model.unet.config, tokens=token_count(model))
    return count_macs(empty_original(model.unet), inputs) > LARGE_MACS


def default_choice(model: Model, *, samples: int | None, data: Path | None) -> dict[str, str]:
    """How to choose what goes where nobody says: `BEST`, or nothing where samples are missing.

    They are where none are wanted, where a checkpoint's crops have another size than the packaged
    dataset's and no other is named, and where a bare U-Net is large and nobody asks for samples.

    Returns:
        fields of a `PruneConfig`; none of them where its own defaults hold.
    """
    if samples == 0:
        return {}
    if isinstance(model, Checkpoint):
        judged = data is not None or _packaged(model) is not None
    else:
        judged = samples is not None or not is_large(model)
    return dict(BEST) if judged else {}


def calibration_of(
    model: Model, config: PruneConfig, *, folder: Path, data: Any | None = None
) -> CalibrationSamples | None:
    """The samples to judge plans of a model by, or None.

    A swap checkpoint is probed with triplets of a rendered dataset, by default the packaged one
    where its crops have the checkpoint's size. A bare U-Net is probed with seeded noise.

    Args:
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
        return swap_calibration(model, dataset, samples=config.samples or SAMPLES, seed=config.seed)
    if data is not None:
        raise PruningError(
            f"{folder} holds a bare U-Net, which does not say how pictures become its inputs: "
            "expected a swap checkpoint with --data; leave --data out, and it is probed with noise"
        )
    needed = config.importance in NEED_PROBE or config.compares
    if config.samples is None and not needed and is_large(model):
        return None
    return noise_calibration(
        model.unet.config,
        tokens=token_count(model),
        samples=config.samples or NOISE_SAMPLES,
        seed=config.seed,
        scheduler=pipeline_scheduler(unet_home(folder)),
    )


def _packaged(model: Checkpoint) -> Any | None:
    """The packaged dataset, where the checkpoint swaps crops of its size."""
    from edgeswap_compress.data import read_dataset

    dataset = read_dataset(calibration_dataset())
    return dataset if dataset.images(0).shape[1] == model.swap.resolution_px else None
