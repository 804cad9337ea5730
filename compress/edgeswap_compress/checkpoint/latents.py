"""Compute a swap in latent space: defined once for pipeline, training and export."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.swap_config import SwapConfig


def _per_channel(values: Any, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)


def works_normalized(vae: Any) -> bool:
    """Tell whether an autoencoder is an AutoencoderTiny, which was taught normalized latents."""
    return isinstance(vae, AutoencoderTiny)


def encode_crop(vae: Any, swap: SwapConfig, crop: Tensor) -> Tensor:
    """Encode aligned crops to normalized latents.

    Args:
        vae: autoencoder of a checkpoint.
        swap: its swap config.
        crop: (N, 3, R, R) RGB in [-1, 1].

    Returns:
        (N, C, S, S), each channel of about zero mean and unit variance over the training data.
    """
    patches = F.pixel_unshuffle(crop, swap.patch_size) if swap.patch_size > 1 else crop
    answer = vae.encode(patches)
    latents: Tensor = answer.latents if works_normalized(vae) else answer.latent_dist.mean
    if swap.latents.is_normalized:
        return latents
    mean = _per_channel(swap.latents.mean, latents)
    return (latents - mean) / _per_channel(swap.latents.std, latents)


def decode_latents(vae: Any, swap: SwapConfig, latents: Tensor, *, clamp: bool = True) -> Tensor:
    """Decode normalized latents (N, C, S, S) to crops (N, 3, R, R) in [-1, 1].

    ``clamp`` stops the gradients of what lies outside; a loss does without it.
    """
    if not swap.latents.is_normalized:
        mean = _per_channel(swap.latents.mean, latents)
        latents = latents * _per_channel(swap.latents.std, latents) + mean
    patches = vae.decode(latents).sample
    crops = F.pixel_shuffle(patches, swap.patch_size) if swap.patch_size > 1 else patches
    return crops.clamp(-1.0, 1.0) if clamp else crops


def sample_to_latents(swap: SwapConfig, sample: Tensor, target_latents: Tensor | None) -> Tensor:
    """Turn the diffusion sample into the swap's normalized latents (both (N, C, S, S)).

    ``target_latents`` may be None where the sample is the latents themselves.
    """
    if swap.prediction_target == "latents":
        return sample
    assert target_latents is not None  # noqa: S101 target_maps makes them for a residual
    return target_latents + sample * _per_channel(swap.residual_std, sample)


def latents_to_sample(swap: SwapConfig, latents: Tensor, target_latents: Tensor) -> Tensor:
    """Turn a truth's normalized latents into its clean sample x_0; undoes ``sample_to_latents``."""
    if swap.prediction_target == "latents":
        return latents
    return (latents - target_latents) / _per_channel(swap.residual_std, latents)


def decode_sample(
    vae: Any, swap: SwapConfig, sample: Tensor, target_latents: Tensor | None
) -> Tensor:
    """Decode samples and target latents (N, C, S, S) to crops (N, 3, R, R) in [-1, 1]."""
    return decode_latents(vae, swap, sample_to_latents(swap, sample, target_latents))
