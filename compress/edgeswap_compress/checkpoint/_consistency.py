"""Check from their configs alone that the parts of a swap checkpoint fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.diffusers_folder.config import token_widths
from edgeswap_compress.errors import InvalidCheckpoint


def check_fit(folder: Path, swap: SwapConfig, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the U-Net, the autoencoder and the conditioner agree with swap.json.

    Args:
        folder: of the checkpoint, for messages.
        swap: its swap config.
        configs: "unet", "vae" and "conditioner" -> the config with diffusers' defaults filled in.

    Raises:
        InvalidCheckpoint: the first entry that does not fit, with its value and the right one.
    """
    for part, checks in (("unet", _unet), ("vae", _vae), ("conditioner", _conditioner)):
        for entry, expected, found in checks(swap, configs):
            if found != expected:
                where = f"{folder / part / 'config.json'}: {entry}"
                raise InvalidCheckpoint(where, expected=expected, found=found)


Checks = Iterator[tuple[str, Any, Any]]
"""(entry, expected value, found value)"""


def _unet(swap: SwapConfig, configs: Mapping[str, Mapping[str, Any]]) -> Checks:
    unet, conditioner = configs["unet"], configs["conditioner"]
    channels = swap.latent_channels
    yield "in_channels", len(swap.input_channels) * channels, unet["in_channels"]
    yield "out_channels", channels, unet["out_channels"]
    for width in token_widths(unet):
        yield "cross_attention_dim", conditioner["widths"][-1], width
    if unet.get("class_embed_type") in ("projection", "simple_projection"):
        entry = "projection_class_embeddings_input_dim"
        yield entry, conditioner["vector_size"], unet[entry]


def _vae(swap: SwapConfig, configs: Mapping[str, Mapping[str, Any]]) -> Checks:
    vae = configs["vae"]
    yield "latent_channels", swap.latent_channels, vae["latent_channels"]
    for entry in ("in_channels", "out_channels"):
        yield entry, 3 * swap.patch_size**2, vae[entry]
    if "latents_mean" not in vae:  # an AutoencoderTiny, whose latents are the normalized ones
        return
    for entry in ("latents_mean", "latents_std"):
        expected = f"{swap.latent_channels} numbers"
        values = vae[entry]
        size = len(values) if isinstance(values, list | tuple) else values
        yield entry, expected, f"{size} numbers" if isinstance(size, int) else values
    if not all(isinstance(value, int | float) and value > 0 for value in vae["latents_std"]):
        yield "latents_std", "numbers above 0", vae["latents_std"]
    factor = swap.patch_size * 2 ** (len(vae["block_out_channels"]) - 1)
    found = f"latents of {swap.resolution_px / factor:g} x {swap.resolution_px / factor:g}"
    yield "block_out_channels", f"latents of {swap.latent_size} x {swap.latent_size}", found


def _conditioner(swap: SwapConfig, configs: Mapping[str, Mapping[str, Any]]) -> Checks:
    conditioner = configs["conditioner"]
    yield "latent_channels", swap.latent_channels, conditioner["latent_channels"]
    yield "latent_size", swap.latent_size, conditioner["latent_size"]
