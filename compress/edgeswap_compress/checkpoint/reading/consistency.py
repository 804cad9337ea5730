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
        configs: "unet", "vae", and "conditioner" and "controlnet" where there is one -> the config
            with diffusers' defaults filled in.

    Raises:
        InvalidCheckpoint: the first entry that does not fit, with its value and the right one.
    """
    for part, checks in _CHECKS.items():
        for entry, expected, found in checks(swap, configs):
            if found != expected:
                where = f"{folder / part / 'config.json'}: {entry}"
                raise InvalidCheckpoint(where, expected=expected, found=found)


Checks = Iterator[tuple[str, Any, Any]]
"""(entry, expected value, found value)"""


def _unet(swap: SwapConfig, configs: Mapping[str, Mapping[str, Any]]) -> Checks:
    unet = configs["unet"]
    yield "in_channels", swap.input_width, unet["in_channels"]
    yield "out_channels", swap.latent_channels, unet["out_channels"]
    if (conditioner := configs.get("conditioner")) is None:
        return
    if swap.has_source_encoder:
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
    for entry in ("latents_mean", "latents_std"):
        if vae.get(entry) is not None:
            yield entry, "null (swap.json states latents.mean and latents.std)", vae[entry]
    if "encoder_block_out_channels" in vae:  # an AutoencoderTiny, whose levels the pass checks
        return
    factor = swap.patch_size * 2 ** (len(vae["block_out_channels"]) - 1)
    found = f"latents of {swap.resolution_px / factor:g} x {swap.resolution_px / factor:g}"
    yield "block_out_channels", f"latents of {swap.latent_size} x {swap.latent_size}", found


def _conditioner(swap: SwapConfig, configs: Mapping[str, Mapping[str, Any]]) -> Checks:
    if (conditioner := configs.get("conditioner")) is None:
        return
    yield "latent_channels", swap.latent_channels, conditioner["latent_channels"]
    yield "latent_size", swap.latent_size, conditioner["latent_size"]


def _controlnet(swap: SwapConfig, configs: Mapping[str, Mapping[str, Any]]) -> Checks:
    if (controlnet := configs.get("controlnet")) is None:
        return
    unet = configs["unet"]
    yield "in_channels", swap.latent_channels, controlnet["in_channels"]
    yield "conditioning_channels", 3, controlnet["conditioning_channels"]
    for entry in ("block_out_channels", "layers_per_block"):
        yield entry, _comparable(unet[entry]), _comparable(controlnet[entry])


def _comparable(value: Any) -> Any:
    """A list as a tuple, so that both compare."""
    return tuple(value) if isinstance(value, list) else value


_CHECKS = {"unet": _unet, "vae": _vae, "conditioner": _conditioner, "controlnet": _controlnet}
