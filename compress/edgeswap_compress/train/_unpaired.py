"""Losses of swaps without a known truth: the source's identity in the target's scene."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_CELLS = 4  # latent cells that are averaged before structures are compared


def unpaired_weights(mask: Tensor) -> Tensor:
    """Give loss weights (N, 1, S, S) that keep the target outside the face mask.

    Inside, the identity loss and the structure alone decide.

    Args:
        mask: (N, 1, S, S) in [0, 1].
    """
    return 1.0 - mask


def structure_loss(predicted: Tensor, target: Tensor, exact: Tensor) -> Tensor:
    """Measure how far swaps leave the target's pose, light and skin tone.

    Latents are averaged over windows of 4 x 4 cells, in which a face's features are no longer
    told apart but where they lie, how they are lit and their mean color are.

    Args:
        predicted: (N, C, S, S) latents.
        target: (N, C, S, S) latents.
        exact: (N,) bool, pairs that have a truth and do not count here.
    """
    apart = F.avg_pool2d(predicted - target, min(_CELLS, predicted.shape[-1]), ceil_mode=True)
    each = apart.square().mean((1, 2, 3))
    unknown = (~exact).float()
    return (each * unknown).sum() / unknown.sum().clamp(min=1.0)


def unpaired_figures(
    residual: Tensor, mask: Tensor, cosine_source: Tensor, cosine_target: Tensor
) -> dict[str, float]:
    """Measure one-step swaps without truth, for the held-out figures.

    Args:
        residual: (N, C, S, S) predicted change of the target's latents.
        mask: (N, 1, S, S) in [0, 1].
        cosine_source: (N,) of the identity embeddings of swap and source, by the network of the
            loss: a curve, not a judgment.
        cosine_target: (N,) of swap and target, likewise.
    """
    outside = 1.0 - mask
    kept = (residual.square().mean(1, keepdim=True) * outside).sum() / outside.sum().clamp(min=1.0)
    return {
        "held_out_identity_margin": float((cosine_source - cosine_target).mean()),
        "held_out_outside_rms": float(torch.sqrt(kept)),
    }
