"""Sums over weights along the axes of layers, and over all the layers a channel runs through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from edgeswap_compress.plan.layers import WEIGHT_AXES, AxisName, kind_of
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune._calibration import CalibrationBatch, CalibrationSamples
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup

_BLOCK = 1 << 18  # weights that are squared at a time

Along: TypeAlias = dict[tuple[str, AxisName], Tensor]
"""(layer, axis) -> (rows, length) float64."""


def grouped(
    along: Mapping[tuple[str, AxisName], Tensor],
    groups: Sequence[ChannelGroup],
    pruned: PruningPlan | None = None,
) -> dict[str, Tensor]:
    """Group name -> (rows, size) the sum over every member of the group.

    Args:
        along: of the axes that count; a member that is absent adds nothing.
        groups: of the original U-Net.
        pruned: what the layers have lost already; lost channels get 0.
    """
    totals = {}
    for group in groups:
        parts = []
        for member in group.members:
            values = along.get((member.layer, member.axis))
            if values is None:
                continue
            whole = _spread(values, member.layer, member.axis, pruned)
            parts += [whole[:, start : start + group.size] for start in member.offsets]
        totals[group.name] = torch.stack(parts).sum(0)
    return totals


def _spread(values: Tensor, layer: str, axis: AxisName, pruned: PruningPlan | None) -> Tensor:
    """Values of a pruned axis at their places on the original one."""
    cut = None if pruned is None else pruned.layers.get(layer)
    kept = None if cut is None else (cut.out if axis == "out" else cut.inp)
    if kept is None:
        return values
    whole = values.new_zeros(len(values), kept.of)
    whole[:, list(kept.kept)] = values
    return whole


def first_order(
    unet: nn.Module,
    groups: Sequence[ChannelGroup],
    tasks: Sequence[tuple[CalibrationBatch, Tensor]],
    samples: CalibrationSamples,
) -> Along:
    """Σ w ∂L/∂w at each index of every member axis, (1, length).

    To first order the summed loss falls by this when everything at the index goes to zero.

    Args:
        unet: float32; its gradients are gone afterwards.
        groups: of the original U-Net.
        tasks: batches and their timesteps; the gradients of all losses are summed first.
        samples: that the batches are of.
    """
    unet.zero_grad(set_to_none=True)
    needed = [parameter.requires_grad for parameter in unet.parameters()]
    unet.requires_grad_(True)
    with torch.enable_grad():
        for batch, steps in tasks:
            samples.loss(unet, batch, steps).backward()
    changes: Along = {}
    with torch.no_grad():
        for name in {member.layer for group in groups for member in group.members}:
            changes |= _changes(name, unet.get_submodule(name))
    unet.zero_grad(set_to_none=True)
    for parameter, before in zip(unet.parameters(), needed, strict=True):
        parameter.requires_grad_(before)
    return changes


def _changes(name: str, layer: nn.Module) -> Along:
    changes: Along = {}
    for axis, dim in WEIGHT_AXES[kind_of(name, layer)].items():
        total: Tensor | float = 0.0
        for parameter in ("weight", "bias") if axis == "out" else ("weight",):
            values = getattr(layer, parameter, None)
            if values is None or values.grad is None:
                continue
            at = dim if parameter == "weight" else 0
            others = tuple(i for i in range(values.ndim) if i != at)
            product = (values * values.grad).double()
            total = total + (product.sum(others) if others else product)
        if isinstance(total, Tensor):
            changes[name, axis] = total[None]
    return changes


def squared_weights(unet: nn.Module, groups: Sequence[ChannelGroup]) -> Along:
    """Sum of squared weights at each index of every axis of every convolution and linear layer."""
    squares: Along = {}
    for name in {member.layer for group in groups for member in group.members}:
        layer = unet.get_submodule(name)
        axes = WEIGHT_AXES[kind_of(name, layer)]
        weight = layer.weight
        if "in" not in axes or not isinstance(weight, torch.Tensor):
            continue  # a norm
        kernel = tuple(range(2, weight.ndim))
        sums = {
            axis: torch.zeros(weight.shape[dim], dtype=torch.float64) for axis, dim in axes.items()
        }
        # One pass over the weights serves both axes, in blocks that stay in the cache.
        rows = max(1, _BLOCK * len(weight) // weight.numel())
        for start in range(0, len(weight), rows):
            block = weight.detach()[start : start + rows].float()
            matrix = torch.linalg.vector_norm(block, dim=kernel) if kernel else block
            matrix = matrix.square()
            for axis, dim in axes.items():
                part = slice(start, start + rows) if dim == 0 else slice(None)
                sums[axis][part] += matrix.sum(dim=1 - dim, dtype=torch.float64).cpu()
        squares |= {(name, axis): values[None] for axis, values in sums.items()}
    return squares
