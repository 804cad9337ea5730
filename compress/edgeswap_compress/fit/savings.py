"""What lets a fit take less memory or time: checkpointing, offloading and compiling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import FitMachine


def prepare_unet(unet: Any, machine: FitMachine, *, learns: bool) -> None:
    """Set up a U-Net for a fit: checkpointing where it learns, compiling where that is asked for.

    Args:
        unet: diffusers', in place.
        machine: what was asked for.
        learns: whether gradients go through it.
    """
    if machine.checkpointing and learns:
        unet.enable_gradient_checkpointing()
    if machine.compile:
        unet.compile()


def require_compiler(device: torch.device) -> None:
    """Compile one addition, so that a missing compiler is told before anything slow.

    Raises:
        InvalidSettings: torch cannot compile for this device here.
    """
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(8, device=device))
    except (RuntimeError, OSError, ImportError) as error:
        why = str(error).strip().splitlines()[0]
        raise InvalidSettings(
            f"torch.compile does not work on {device} here ({why}): expected a C++ compiler (for "
            "a graphics card also triton); install it, or leave --compile out"
        ) from error


@contextmanager
def brought(
    modules: Mapping[str, nn.Module], device: torch.device, machine: FitMachine
) -> Iterator[None]:
    """Bring modules to the device for a block; with ``offload`` they go back to the host after it.

    Args:
        modules: name -> module, for messages.
        device: that computes.
        machine: says whether modules are offloaded at all.
    """
    if machine.offload:
        move(modules, device)
    try:
        yield
    finally:
        if machine.offload:
            move(modules, torch.device("cpu"))


def move(modules: Mapping[str, nn.Module], device: torch.device) -> None:
    """Move modules to a device in place, and give the memory they had back to the others."""
    for module in modules.values():
        nn.Module.to(module, device)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
