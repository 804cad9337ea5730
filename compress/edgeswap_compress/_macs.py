"""Multiply-accumulates and parameters of a module, counted on real or meta tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(module: nn.Module) -> int:
    """Count the parameters; one that is shared between layers counts once, buffers do not."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, inputs: Mapping[str, Any]) -> int:
    """Count the multiply-accumulates of one forward pass.

    Counted are convolutions and matrix products, those inside attention included, whichever
    attention kernel the module would use. Norms, activations, additions, resampling and softmax
    are not counted; in a U-Net they are about one hundredth of the arithmetic.

    Args:
        module: on any device; on the meta device nothing is computed.
        inputs: keyword arguments of its forward, on the same device.
    """
    return _count(module, inputs).get_total_flops() // 2


def macs_by_module(module: nn.Module, inputs: Mapping[str, Any]) -> dict[str, int]:
    """Count the multiply-accumulates of every sub-module, its children's included.

    Sub-modules that cost nothing are left out.

    Args:
        module: as for `count_macs`.
        inputs: as for `count_macs`.

    Returns:
        Name as in `module.named_modules()` -> multiply-accumulates.
    """
    root = f"{type(module).__name__}."
    counts = _count(module, inputs).get_flop_counts()
    return {
        name.removeprefix(root): sum(operations.values()) // 2
        for name, operations in counts.items()
        if name.startswith(root)
    }


def _count(module: nn.Module, inputs: Mapping[str, Any]) -> FlopCounterMode:
    counter = FlopCounterMode(display=False)
    # Fused attention kernels are not counted on every device; the plain one always is.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        module(**inputs)
    return counter
