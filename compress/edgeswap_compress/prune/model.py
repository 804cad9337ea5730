"""What can be pruned: a swap checkpoint or a bare diffusers U-Net, opened the same way."""

from __future__ import annotations

from pathlib import Path

from edgeswap_compress._macs import count_macs
from edgeswap_compress.checkpoint.blank import blank_condition
from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.conditioning.attention import with_adapter_tokens
from edgeswap_compress.diffusers_folder.example_inputs import DEFAULT_TOKENS, example_inputs
from edgeswap_compress.plan.folder import UNetFolder, read_unet_folder
from edgeswap_compress.plan.meta_copy import empty_original

Model = Checkpoint | UNetFolder
"""What can be pruned; both have a `unet` and a `plan`."""

LARGE_MACS = 50 * 10**9
"""A U-Net above this cost is neither timed nor evaluated on samples unless that is asked for."""


def open_model(path: Path | str) -> Model:
    """Open a swap checkpoint, where the folder has a swap.json, or else a diffusers U-Net.

    Args:
        path: the folder.

    Raises:
        InvalidCheckpoint: the swap checkpoint is damaged.
        BadUNetFolder, UnsupportedModel, BadPlan: see `load_unet`.
    """
    if (Path(path) / "swap.json").exists():
        return Checkpoint.load(path)
    return read_unet_folder(path)


def token_count(model: Model) -> int:
    """Give the length of the cross-attention sequence that a model is conditioned on.

    A checkpoint's conditioner says it; for a bare U-Net it is CLIP's.
    """
    if isinstance(model, Checkpoint):
        if model.swap.has_plugin:
            tokens = SwapConditioner.of(model).null(1).tokens
        else:
            tokens = blank_condition(model.swap, model.conditioner, model.parts).tokens
        return 1 if tokens is None else int(tokens.shape[1])
    return DEFAULT_TOKENS


def is_large(model: Model) -> bool:
    """Tell whether one evaluation of the U-Net costs more than `LARGE_MACS`."""
    empty = empty_original(model.unet)
    inputs = example_inputs(model.unet.config, tokens=token_count(model))
    return count_macs(empty, with_adapter_tokens(empty, inputs)) > LARGE_MACS
