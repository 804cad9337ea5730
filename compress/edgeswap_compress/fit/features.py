"""Block outputs of a U-Net: what a pruned student imitates, and what a discriminator looks at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def blocks(unet: Any) -> list[nn.Module]:
    """List the blocks on a U-Net's way down, its middle, and those on the way up."""
    middle = [] if unet.mid_block is None else [unet.mid_block]
    return [*unet.down_blocks, *middle, *unet.up_blocks]


@contextmanager
def block_outputs(unet: Any) -> Iterator[list[Tensor]]:
    """Collect the output (N, C, H, W) of every block that is evaluated inside the ``with``."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    handles = [block.register_forward_hook(keep) for block in blocks(unet)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


class FeatureMatch(nn.Module):
    """Distance of a student's block outputs to its teacher's (BK-SDM, 2305.15798, eq. 3).

    A pruned block has fewer channels, so each output goes through a learned 1x1 convolution first
    (the regressors of FitNets, 1412.6550), which is thrown away afterwards.

    Args:
        widths: channels of each block's output, student's and teacher's.
    """

    def __init__(self, widths: list[tuple[int, int]]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.regressors = nn.ModuleList(nn.Conv2d(own, to, 1) for own, to in widths)

    def forward(self, own: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Measure the mean square distance, relative to each wanted output's mean square."""
        terms = []
        for regressor, mine, theirs in zip(self.regressors, own, wanted, strict=True):
            goal = theirs.detach().float()
            guess = regressor(mine.float())
            if guess.shape[2:] != goal.shape[2:]:  # a dropped layer may have changed the size
                goal = F.interpolate(goal, size=guess.shape[2:], mode="area")
            terms.append((guess - goal).square().mean() / (goal.square().mean() + 1e-6))
        return torch.stack(terms).mean()
