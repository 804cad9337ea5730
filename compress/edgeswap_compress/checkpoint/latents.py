"""Compute a swap in latent space: defined once for pipeline, training and export."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning.source import Condition, SourceConditioner


def _per_channel(values: Any, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)


def works_normalized(vae: Any) -> bool:
    """Tell whether an autoencoder's own latents are normalized: those of an AutoencoderTiny are."""
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
    patches = F.pixel_unshuffle(crop, swap.patch_size)
    if works_normalized(vae):
        return vae.encode(patches).latents
    latents = vae.encode(patches).latent_dist.mean
    mean = _per_channel(vae.config.latents_mean, latents)
    return (latents - mean) / _per_channel(vae.config.latents_std, latents)


def decode_latents(vae: Any, swap: SwapConfig, latents: Tensor, *, clamp: bool = True) -> Tensor:
    """Decode normalized latents (N, C, S, S) to crops (N, 3, R, R) in [-1, 1].

    ``clamp`` stops the gradients of what lies outside; a loss does without it.
    """
    if not works_normalized(vae):
        mean = _per_channel(vae.config.latents_mean, latents)
        latents = latents * _per_channel(vae.config.latents_std, latents) + mean
    patches = vae.decode(latents).sample
    crops = F.pixel_shuffle(patches, swap.patch_size)
    return crops.clamp(-1.0, 1.0) if clamp else crops


def sample_to_latents(swap: SwapConfig, sample: Tensor, target_latents: Tensor) -> Tensor:
    """Turn the diffusion sample into the swap's normalized latents (both (N, C, S, S))."""
    if swap.prediction_target == "latents":
        return sample
    return target_latents + sample * _per_channel(swap.residual_std, sample)


def latents_to_sample(swap: SwapConfig, latents: Tensor, target_latents: Tensor) -> Tensor:
    """Turn a truth's normalized latents into its clean sample x_0; undoes ``sample_to_latents``."""
    if swap.prediction_target == "latents":
        return latents
    return (latents - target_latents) / _per_channel(swap.residual_std, latents)


def decode_sample(vae: Any, swap: SwapConfig, sample: Tensor, target_latents: Tensor) -> Tensor:
    """Decode samples and target latents (N, C, S, S) to crops (N, 3, R, R) in [-1, 1]."""
    return decode_latents(vae, swap, sample_to_latents(swap, sample, target_latents))


def predict(
    unet: Any,
    swap: SwapConfig,
    sample: Tensor,
    timestep: Tensor,
    target_latents: Tensor,
    condition: Condition,
) -> Tensor:
    """Evaluate the U-Net once.

    Args:
        unet: of a checkpoint.
        swap: its swap config.
        sample: (N, C, S, S) noised sample x_t.
        timestep: (N,) or scalar, in [0, num_train_timesteps).
        target_latents: (N, C, S, S).
        condition: of the source, batch N.

    Returns:
        (N, C, S, S) in the scheduler's prediction type.
    """
    groups = {"noise": sample, "target": target_latents, "source": condition.source_latents}
    inputs = torch.cat([groups[name] for name in swap.input_channels], dim=1)
    output: Tensor = unet(
        inputs,
        timestep,
        encoder_hidden_states=condition.tokens,
        class_labels=condition.vector,
        return_dict=False,
    )[0]
    return output


def guided(
    unet: Any,
    conditioner: SourceConditioner,
    swap: SwapConfig,
    sample: Tensor,
    timestep: Tensor,
    target_latents: Tensor,
    condition: Condition,
    guidance_scale: float | Tensor,
) -> Tensor:
    """Evaluate with classifier-free guidance u + g (c - u) (2207.12598, eq. 6, diffusers' scale).

    One evaluation where ``guidance_scale`` is the number 1.0, else two in one batch. Shapes as
    ``predict``; ``guidance_scale`` may be a tensor of shape (1,), which always costs two.
    """
    if not isinstance(guidance_scale, Tensor) and guidance_scale == 1.0:
        return predict(unet, swap, sample, timestep, target_latents, condition)
    null = conditioner.null(sample.shape[0]).to(sample.dtype)
    both = Condition(
        torch.cat([null.tokens, condition.tokens]),
        torch.cat([null.vector, condition.vector]),
        torch.cat([null.source_latents, condition.source_latents]),
    )
    steps = timestep.reshape(-1).expand(sample.shape[0]).repeat(2)
    output = predict(
        unet,
        swap,
        torch.cat([sample, sample]),
        steps,
        torch.cat([target_latents, target_latents]),
        both,
    )
    count = sample.shape[0]  # chunk(2) would fix a batch that an export leaves free
    unconditional, conditional = output[:count], output[count:]
    return unconditional + guidance_scale * (conditional - unconditional)
