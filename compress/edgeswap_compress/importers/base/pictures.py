"""Make up pictures for proofs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def made_up_picture(side_px: int, random: torch.Generator) -> Tensor:
    """Draw a smooth picture with some detail: (1, 3, R, R) in [-1, 1].

    Args:
        side_px: its side.
        random: where it comes from.
    """
    coarse = torch.rand(1, 3, 6, 6, generator=random) * 2 - 1
    smooth = 0.7 * F.interpolate(coarse, (side_px, side_px), mode="bicubic")
    detail = 0.1 * torch.randn(1, 3, side_px, side_px, generator=random)
    return (smooth + detail).clamp(-1, 1)
