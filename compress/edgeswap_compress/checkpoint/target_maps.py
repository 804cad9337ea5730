"""Compute what the denoiser sees of the target: its latents, a mask, a hint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.latents import encode_crop
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import FaceMask

EDGE = 1.0
"""The superellipse's edge: a place is repainted where |x/rx|^n + |y/ry|^n is at most this."""


@dataclass(frozen=True, slots=True)
class TargetMaps:
    """What the denoiser sees of targets, each part None where the model does not look at it.

    Attributes:
        latents: (N, C, S, S) normalized latents of the crop.
        masked_latents: (N, C, S, S) of the crop with the mask's face painted gray.
        mask: (N, 1, S, S), 1 where the face is repainted.
        hint: (N, 3, R, R) in [0, 1], the ControlNet's picture.
    """

    latents: Tensor | None = None
    masked_latents: Tensor | None = None
    mask: Tensor | None = None
    hint: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> TargetMaps:
        """Change every tensor."""
        values = (getattr(self, field.name) for field in fields(self))
        return TargetMaps(*(None if value is None else change(value) for value in values))

    def to(self, dtype: torch.dtype) -> TargetMaps:
        """Convert all values to another dtype."""
        return self.each(lambda value: value.to(dtype))

    def twice(self) -> TargetMaps:
        """Repeat the batch behind itself, for guidance."""
        return self.each(lambda value: torch.cat([value, value]))


def face_pixels(mask: FaceMask, size_px: int) -> Tensor:
    """Draw the mask without its feather: (1, 1, R, R) float32, 1 inside the superellipse."""
    x = torch.arange(size_px, dtype=torch.float64)
    across = ((x - mask.center_px[0]).abs() / mask.radii_px[0]) ** mask.exponent
    down = ((x - mask.center_px[1]).abs() / mask.radii_px[1]) ** mask.exponent
    inside: Tensor = (across[None, :] + down[:, None]) <= EDGE
    return inside.float()[None, None]


def latent_mask(swap: SwapConfig) -> Tensor:
    """Shrink the mask to the latents by taking the nearest pixel, as diffusers does: (1, 1, S, S).

    Source: diffusers, `StableDiffusionInpaintPipeline.prepare_mask_latents`.
    """
    whole = face_pixels(swap.mask, swap.resolution_px)
    return F.interpolate(whole, size=(swap.latent_size, swap.latent_size))


def needs_latents(swap: SwapConfig) -> bool:
    """Tell whether the target's own latents are looked at, by U-Net, sampler or decoder."""
    sampling = swap.sampling
    return (
        "target" in swap.input_channels
        or swap.sample.target == "residual"
        or sampling.start.at == "target"
        or sampling.blend == "latents"
    )


def needs_mask(swap: SwapConfig) -> bool:
    """Tell whether the mask at the latents' size is looked at, by U-Net or sampler."""
    return "mask" in swap.input_channels or swap.sampling.blend == "latents"


def target_maps(vae: Any, swap: SwapConfig, crop: Tensor, hint: Tensor | None = None) -> TargetMaps:
    """Compute what a model sees of aligned target crops.

    The posterior's mean is taken for masked latents, where diffusers draws from it.

    Args:
        vae: autoencoder of the checkpoint.
        swap: its swap config.
        crop: (N, 3, R, R) RGB in [-1, 1].
        hint: (N, 3, R, R) in [0, 1] for a ControlNet.
    """
    latents = encode_crop(vae, swap, crop) if needs_latents(swap) else None
    masked = mask = None
    if "masked_target" in swap.input_channels:
        kept = 1.0 - face_pixels(swap.mask, swap.resolution_px).to(crop)
        masked = encode_crop(vae, swap, crop * kept)
    if needs_mask(swap):
        mask = latent_mask(swap).to(crop).expand(crop.shape[0], -1, -1, -1)
    return TargetMaps(latents, masked, mask, hint)
