"""Low-rank adapters (LoRA, 2106.09685) on the matrices and convolutions of a module."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

SMALLEST = 16
"""Layers with fewer inputs or outputs are left alone: an adapter would be as large as they are."""


class LowRank(nn.Module):
    """Adapter of a weight W: W + B A, of B (outputs, rank) and A (rank, the rest).

    B starts at 0, so that nothing changes at first.

    A convolution's weight counts as a matrix of outputs x (inputs x height x width).
    """

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        down = torch.randn(rank, columns, generator=generator) / columns**0.5
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Give the adapted weight."""
        return weight + (self.up @ self.down).view_as(weight)


def adapt(module: nn.Module, rank: int, seed: int) -> list[str]:
    """Freeze a module and give its layers adapters, which alone learn.

    Returns:
        names of the adapted layers.
    """
    module.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    layers = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
        and min(layer.weight.shape[0], layer.weight.shape[1]) >= SMALLEST
    ]
    for _, layer in layers:
        low_rank = LowRank(layer.weight, rank, generator)
        parametrize.register_parametrization(layer, "weight", low_rank, unsafe=True)
    return [name for name, _ in layers]


def fuse(module: nn.Module, names: list[str]) -> None:
    """Add the adapters to the weights they adapt, and forget them."""
    for name in names:
        layer = module.get_submodule(name)
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


@torch.no_grad()
def copy_originals(module: nn.Module, exact: nn.Module, names: list[str]) -> None:
    """Give an adapted module back its weights as they were before they were rounded.

    Args:
        module: adapted, float32.
        exact: the same module without adapters.
        names: of the adapted layers.
    """
    own = dict(module.named_parameters())
    for name, parameter in exact.named_parameters():
        layer, _, kind = name.rpartition(".")
        adapted = kind == "weight" and layer in names
        target = f"{layer}.parametrizations.weight.original" if adapted else name
        own[target].copy_(parameter)
