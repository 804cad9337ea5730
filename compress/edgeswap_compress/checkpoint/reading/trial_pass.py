"""Build a checkpoint's modules and pass a crop through them, before any weight is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress.checkpoint.blank import blank_condition
from edgeswap_compress.checkpoint.denoiser import SwapDenoiser
from edgeswap_compress.checkpoint.latents import decode_latents, encode_crop
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line
from edgeswap_compress.diffusers_folder.config import SCHEDULER_RULES, config_problem
from edgeswap_compress.errors import InvalidCheckpoint


def build(kind: Callable[[Any], Any], config: dict[str, Any], where: Path) -> Any:
    """Build what a config describes, after checking its values.

    Args:
        kind: makes the module or scheduler from the config.
        config: of a module, or of a scheduler where `where` lies in a folder of that name.
        where: the config's file, for messages.

    Raises:
        InvalidCheckpoint: a value is out of bounds, or the values do not go together.
    """
    rules = {"rules": SCHEDULER_RULES} if where.parent.name == "scheduler" else {}
    if (problem := config_problem(config, **rules)) is not None:
        raise InvalidCheckpoint(str(where), expected="values within their bounds", found=problem)
    try:
        return kind(config)
    except BUILD_ERRORS as error:
        found = first_line(error)
        raise InvalidCheckpoint(
            str(where), expected="what diffusers can build", found=found
        ) from error


@torch.no_grad()
def require_pass(
    folder: Path, swap: SwapConfig, modules: Mapping[str, Any], parts: Mapping[str, Any]
) -> None:
    """Follow one crop through all modules, on the meta device, and check every shape.

    Args:
        folder: the checkpoint's, for messages.
        swap: its swap.json.
        modules: by folder, on the meta device.
        parts: what its conditions name, see `Checkpoint.parts`.

    Raises:
        InvalidCheckpoint: naming the module that does not fit.
    """
    vae = modules["vae"]
    side = swap.resolution_px
    expected = (1, swap.latent_channels, swap.latent_size, swap.latent_size)
    crop = torch.empty(1, 3, side, side, device="meta")
    latents = torch.empty(expected, device="meta")

    steps: list[tuple[str, Callable[[], torch.Tensor], tuple[int, ...]]] = [
        ("vae", lambda: encode_crop(vae, swap, crop), expected),
        ("vae", lambda: decode_latents(vae, swap, latents), tuple(crop.shape)),
    ]
    if (encoder := modules.get("conditioner")) is not None:
        vector = (1, encoder.config.vector_size)
        steps.append(("conditioner", lambda: encoder(latents)[1], vector))
    if not swap.has_plugin:  # which would have to be run to know what it gives
        given = partial(_denoise, swap, modules, parts)
        steps.append(("unet", given, expected))
    for name, step, shape in steps:
        where = f"{folder / name / 'config.json'} and swap.json"
        try:
            found = tuple(step().shape)
        except BUILD_ERRORS as error:
            raise InvalidCheckpoint(
                where, expected="a module that swap.json fits", found=first_line(error)
            ) from error
        if found != shape:
            raise InvalidCheckpoint(f"{where}: output", expected=shape, found=found)


@torch.no_grad()
def require_overlay(folder: Path, swap: SwapConfig, overlay: Any) -> None:
    """Follow one crop through the network behind the decoder, on the meta device.

    Args:
        folder: the checkpoint's, for messages.
        swap: its swap.json.
        overlay: on the meta device.

    Raises:
        InvalidCheckpoint: the crop's side does not fit its patches.
    """
    where, side = folder / "overlay" / "config.json", swap.resolution_px
    crop = torch.empty(1, 3, side, side, device="meta")
    try:
        found = tuple(tuple(part.shape) for part in overlay(crop, crop))
    except BUILD_ERRORS as error:
        raise InvalidCheckpoint(
            str(where), expected=f"patches that crops of {side} px consist of",
            found=first_line(error),
        ) from error  # fmt: skip
    expected = ((1, 3, side, side), (1, 1, side, side))
    if found != expected:
        raise InvalidCheckpoint(f"{where}: output", expected=expected, found=found)


def _denoise(
    swap: SwapConfig, modules: Mapping[str, Any], parts: Mapping[str, Any]
) -> torch.Tensor:
    """Evaluate the denoiser on the meta device."""
    side, channels = swap.resolution_px, swap.latent_channels
    latents = torch.empty(1, channels, swap.latent_size, swap.latent_size, device="meta")
    target = TargetMaps(
        latents,
        latents,
        latents[:, :1],
        torch.empty(1, 3, side, side, device="meta"),
    )
    denoiser = SwapDenoiser(modules["unet"], swap, modules.get("controlnet"))
    at = torch.ones(1, dtype=torch.long, device="meta")
    condition = blank_condition(swap, modules.get("conditioner"), parts).each(
        lambda value: value.to("meta")
    )
    return denoiser.predict(latents, at, target, condition)
