"""Widening of a trained checkpoint's latents, without changing what it computes.

Function-preserving widening in the sense of Net2Net (1511.05641): the new channels are read by
weights that are zero, so that every module starts where it was and learns to use them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.errors import InvalidSettings

NEW_CHANNEL_STD = 0.02
"""Deviation of the weights that write a new latent channel; what reads it starts at zero."""
WRITES_LATENTS = ("encoder.", "quant_conv.", "post_quant_conv.")
"""Layers of an autoencoder that write latents."""


def widen_latents(checkpoint: Checkpoint, channels: int, seed: int = 0) -> Checkpoint:
    """Copy a model onto latents of more channels; autoencoder, conditioner and U-Net are new.

    The latents' statistics and the residual's deviation of the new channels are placeholders (0, 1)
    until they are measured again.

    Args:
        checkpoint: a whole (unpruned) teacher with an AutoencoderKL.
        channels: at least as many as it has.
        seed: of the weights that write the new channels.

    Raises:
        InvalidSettings: fewer channels than there are, or a pruned U-Net.
    """
    swap = checkpoint.swap
    old, more = swap.latent_channels, channels - swap.latent_channels
    if more < 0 or checkpoint.plan is not None:
        raise InvalidSettings(
            f"latents of {channels} channels from {old}: expected at least {old} and an unpruned "
            "U-Net; name the teacher that was trained from scratch"
        )
    generator = torch.Generator().manual_seed(seed)
    vae = _like(checkpoint.vae, latent_channels=channels)
    unet = _like(checkpoint.unet, in_channels=channels * len(swap.inputs), out_channels=channels)
    conditioner = _like(checkpoint.conditioner, latent_channels=channels)
    for new, was in (
        (vae, checkpoint.vae),
        (unet, checkpoint.unet),
        (conditioner, checkpoint.conditioner),
    ):
        _copy_into(new, was, old, channels, generator)
    return Checkpoint(
        unet=unet,
        vae=vae,
        conditioner=conditioner,
        scheduler=checkpoint.scheduler,
        overlay=checkpoint.overlay,
        swap=_widened(swap, channels),
    )


def _widened(swap: SwapConfig, channels: int) -> SwapConfig:
    """Give the config with more latent channels, the new ones of mean 0 and deviation 1."""
    latents, more = swap.latents, channels - swap.latent_channels
    mean = (*latents.mean * (1 if len(latents.mean) > 1 else swap.latent_channels), *(0.0,) * more)
    std = (*latents.std * (1 if len(latents.std) > 1 else swap.latent_channels), *(1.0,) * more)
    return replace(
        swap,
        inputs=tuple(replace(group, channels=channels) for group in swap.inputs),
        latents=replace(latents, channels=channels, mean=mean, std=std),
        sample=replace(swap.sample, std=(*swap.residual_std, *(1.0,) * more)),
    )


def _like(module: Any, **changes: int) -> Any:
    settings = {k: v for k, v in dict(module.config).items() if not k.startswith("_")}
    fresh = type(module).from_config({**settings, **changes})
    return nn.Module.to(fresh, module.dtype)  # diffusers' own would warn


@torch.no_grad()
def _copy_into(
    new: nn.Module, was: nn.Module, old: int, channels: int, generator: torch.Generator
) -> None:
    """Copy what has the same shape; spread the groups of latent channels, zero in between."""
    before = was.state_dict()
    for name, tensor in new.state_dict().items():
        source = before[name]
        if tensor.shape == source.shape:
            tensor.copy_(source)
            continue
        rows, columns = (
            (
                _spread(size, after, old, channels)
                for after, size in zip(tensor.shape[:2], source.shape[:2], strict=True)
            )
            if source.ndim > 1
            else (_spread(len(source), len(tensor), old, channels), None)
        )
        tensor.zero_()
        if name.startswith(WRITES_LATENTS) and len(tensor) != len(source):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * NEW_CHANNEL_STD)
            tensor[rows] = 0.0
        if columns is None:
            tensor[rows] = source
        else:
            tensor[rows[:, None], columns[None]] = source


def _spread(size: int, after: int, old: int, channels: int) -> Tensor:
    """Give where ``size`` entries, in groups of ``old`` latent channels, lie among ``after``."""
    if size == after:
        return torch.arange(size)
    return torch.cat([torch.arange(old) + group * channels for group in range(size // old)])
