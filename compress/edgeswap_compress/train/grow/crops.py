"""Enlarging of a trained checkpoint's crops: the same latents, more pixels in each of them.

The first layer of an autoencoder sees patches of pixels and its last layer gives patches. Both are
linear, and so are shrinking and enlarging a patch: put together they make layers for larger patches
that compute what the old ones did of the shrunk picture (function-preserving as in Net2Net,
1511.05641). Denoiser and conditioner see latents and stay as they are.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning.crops import MODEL_CROP
from edgeswap_compress.errors import InvalidSettings


def enlarge_crops(checkpoint: Checkpoint, resolution_px: int) -> Checkpoint:
    """Copy a model onto larger crops; its autoencoder is new, the other modules are shared.

    The autoencoder begins as: shrink the crop, encode, decode, enlarge the crop. Train it on, and
    it learns to use the additional pixels.

    Args:
        checkpoint: whose autoencoder sees patches, see ``SwapConfig.patch_size``.
        resolution_px: side of the new crops; patches of whole pixels must come of it.

    Raises:
        InvalidSettings: a smaller side, or patches of broken size.
    """
    old = checkpoint.swap
    patch, rest = divmod(old.patch_size * resolution_px, old.resolution_px)
    if rest or resolution_px < old.resolution_px:
        step = old.resolution_px // old.patch_size
        next_px = -(-max(resolution_px, old.resolution_px) // step) * step
        raise InvalidSettings(
            f"crops of {resolution_px} px from {old.resolution_px} px: expected a larger multiple "
            f"of {step}; render with --size {next_px}"
        )
    vae = _with_patches(checkpoint.vae, old.patch_size, patch)
    return replace(checkpoint, vae=vae, swap=enlarged_config(old, resolution_px, patch))


def enlarged_config(swap: SwapConfig, resolution_px: int, patch_size: int) -> SwapConfig:
    """Scale the lengths of a swap config to crops of another side."""
    scale, mask = resolution_px / swap.resolution_px, swap.mask
    landmarks = tuple((x * scale, y * scale) for x, y in swap.landmarks_px)
    crop = replace(swap.model_crop, size_px=resolution_px, landmarks_px=landmarks)
    return replace(
        swap,
        crops={**swap.crops, MODEL_CROP: crop},
        latents=replace(swap.latents, patch_size=patch_size),
        mask=replace(
            mask,
            center_px=(mask.center_px[0] * scale, mask.center_px[1] * scale),
            radii_px=(mask.radii_px[0] * scale, mask.radii_px[1] * scale),
            feather_px=mask.feather_px * scale,
        ),
    )


def _with_patches(vae: Any, before: int, after: int) -> Any:
    """Copy an autoencoder, its outer layers made for patches of another side."""
    config = {k: v for k, v in dict(vae.config).items() if not k.startswith("_")}
    if isinstance(vae, AutoencoderTiny):
        config.pop("block_out_channels", None)  # diffusers writes it and warns of reading it
    pixels = 3 * after**2
    fresh = type(vae).from_config({**config, "in_channels": pixels, "out_channels": pixels})
    nn.Module.to(fresh, vae.dtype)  # diffusers' own would warn
    state = copy.copy(vae.state_dict())
    first, last = _outer_layers(vae)
    names = {id(module): name for name, module in vae.named_modules()}
    reads, writes = names[id(first)], names[id(last)]
    weight = first.weight.detach().float()
    state[f"{reads}.weight"] = _mixed(weight.movedim(1, -1), _shrinking(before, after)).movedim(
        -1, 1
    )
    enlarging = _enlarging(before, after).T
    weight = last.weight.detach().float()
    state[f"{writes}.weight"] = _mixed(weight.movedim(0, -1), enlarging).movedim(-1, 0)
    if last.bias is not None:
        state[f"{writes}.bias"] = _mixed(last.bias.detach().float(), enlarging)
    fresh.load_state_dict({name: tensor.to(vae.dtype) for name, tensor in state.items()})
    return fresh


def _outer_layers(vae: Any) -> tuple[Any, Any]:
    """Give the convolutions that read and write patches of pixels."""
    if isinstance(vae, AutoencoderTiny):
        return vae.encoder.layers[0], vae.decoder.layers[-1]
    return vae.encoder.conv_in, vae.decoder.conv_out


def _mixed(values: Tensor, matrix: Tensor) -> Tensor:
    """Mix the pixels of patches: (..., 3 p p) by a matrix (p, q) of each axis to (..., 3 q q)."""
    p, q = matrix.shape
    patches = values.reshape(*values.shape[:-1], 3, p, p)
    return torch.einsum("...ij,ik,jl->...kl", patches, matrix, matrix).reshape(
        *values.shape[:-1], 3 * q * q
    )


def _shrinking(small: int, large: int) -> Tensor:
    """Give the (small, large) matrix that averages the pixels under each larger one."""
    low = torch.maximum(torch.arange(small)[:, None] / small, torch.arange(large)[None] / large)
    high = torch.minimum(
        torch.arange(1, small + 1)[:, None] / small, torch.arange(1, large + 1)[None] / large
    )
    return (high - low).clamp(min=0.0) * small


def _enlarging(small: int, large: int) -> Tensor:
    """Give the (large, small) matrix of linear interpolation within a patch."""
    return F.interpolate(torch.eye(small)[:, None], large, mode="linear")[:, 0].T
