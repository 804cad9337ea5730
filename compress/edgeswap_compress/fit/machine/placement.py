"""Put tensors where a module computes, in its dtype and order of memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def device_of(module: Any) -> torch.device:
    """Give the device of a module's weights."""
    found: torch.device = next(module.parameters()).device
    return found


def like_module(module: Any, x: Tensor) -> Tensor:
    """Convert a floating tensor to the device and dtype of a module's weights."""
    weight = next(module.parameters())
    return x.to(weight.device, weight.dtype)
