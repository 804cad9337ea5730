"""What lets a fit take less memory or time: checkpointing, offloading and compiling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.machine.options import FitMachine


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
def brought(modules: Sequence[nn.Module], device: torch.device, *, rest: bool) -> Iterator[None]:
    """Bring modules to the device for a block, and back to the host after it.

    No gradient may pass through them: its backward pass would find them gone.

    Args:
        modules: that are asked inside the block.
        device: that computes.
        rest: whether they are offloaded at all; otherwise they stay where they are.
    """
    if rest:
        move(modules, device)
    try:
        yield
    finally:
        if rest:
            move(modules, torch.device("cpu"))


def move(modules: Sequence[nn.Module], device: torch.device) -> None:
    """Move modules to a device in place, and give the memory they had back to the others."""
    for module in modules:
        nn.Module.to(module, device)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
