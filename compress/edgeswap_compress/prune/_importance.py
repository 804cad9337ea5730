"""How much each channel matters: one function for each way of judging, listed in IMPORTANCES."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from edgeswap_compress.prune._layers import WEIGHT_AXES, AxisName, kind_of
from edgeswap_compress.prune._sets import ChannelSet, Scores

_BLOCK = 1 << 18  # weights that are squared at a time

Importance = Callable[[nn.Module, Sequence[ChannelSet], torch.Generator], dict[str, torch.Tensor]]


def magnitude(
    unet: nn.Module, sets: Sequence[ChannelSet], generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """L2 norm over every weight that a channel touches, in all layers it runs through.

    The group norm of Fang et al., DepGraph (arXiv 2301.12900), eq. 4, without the norms' own
    weights. The generator is not used.
    """
    del generator
    squares = _squared_weights(unet, sets)
    norms = {}
    for chosen in sets:
        total = torch.zeros(chosen.size, dtype=torch.float64)
        for member in chosen.members:
            along = squares.get((member.layer, member.axis))
            if along is not None:
                for offset in member.offsets:
                    total += along[offset : offset + chosen.size]
        norms[chosen.name] = total.sqrt()
    return norms


def random(
    unet: nn.Module, sets: Sequence[ChannelSet], generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Uniform in [0, 1): the control that any other importance has to beat."""
    del unet
    return {chosen.name: torch.rand(chosen.size, generator=generator) for chosen in sets}


IMPORTANCES: dict[str, Importance] = {"magnitude": magnitude, "random": random}


def score(
    unet: nn.Module, sets: Sequence[ChannelSet], importance: str, seed: int
) -> dict[str, Scores]:
    """Importance of every channel of every set.

    Args:
        unet: in its original shape, with weights.
        sets: made for this U-Net.
        importance: a key of `IMPORTANCES`.
        seed: of the generator that the importance draws from.

    Returns:
        Set name -> one non-negative score a channel; a head's channels share their mean.
    """
    generator = torch.Generator().manual_seed(seed)
    scores = IMPORTANCES[importance](unet, sets, generator)
    return {
        chosen.name: scores[chosen.name]
        .double()
        .reshape(-1, chosen.unit)
        .mean(dim=1)
        .repeat_interleave(chosen.unit)
        .numpy()
        for chosen in sets
    }


def _squared_weights(
    unet: nn.Module, sets: Sequence[ChannelSet]
) -> dict[tuple[str, AxisName], torch.Tensor]:
    """Sum of squared weights at each index of every axis of every convolution and linear layer."""
    squares: dict[tuple[str, AxisName], torch.Tensor] = {}
    for name in {member.layer for chosen in sets for member in chosen.members}:
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
        squares |= {(name, axis): values for axis, values in sums.items()}
    return squares
