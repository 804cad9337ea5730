"""What is asked of a swap whose truth nobody knows: the source's identity in the target's scene."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_CELLS = 4  # latent cells that are averaged before structures are compared


def unpaired_weights(mask: Tensor) -> Tensor:
    """Loss weights (N, 1, S, S): the target is kept outside the face mask.

    Inside, the identity loss and the structure alone decide.

    Args:
        mask: (N, 1, S, S) in [0, 1].
    """
    return 1.0 - mask


def structure_loss(predicted: Tensor, target: Tensor, exact: Tensor) -> Tensor:
    """How far a swap leaves the target's pose, light and skin tone, of the pairs without truth.

    Latents are averaged over windows of 4 x 4 cells, in which a face's features are no longer
    told apart but where they lie, how they are lit and their mean color are.

    Args:
        predicted, target: (N, C, S, S) latents.
        exact: (N,) bool, pairs that have a truth and do not count here.
    """
    apart = F.avg_pool2d(predicted - target, min(_CELLS, predicted.shape[-1]), ceil_mode=True)
    each = apart.square().mean((1, 2, 3))
    unknown = (~exact).float()
    return (each * unknown).sum() / unknown.sum().clamp(min=1.0)


def unpaired_figures(
    residual: Tensor, mask: Tensor, cosine_source: Tensor, cosine_target: Tensor
) -> dict[str, float]:
    """Held-out figures of one-step swaps without truth.

    Args:
        residual: (N, C, S, S) predicted change of the target's latents.
        mask: (N, 1, S, S) in [0, 1].
        cosine_source, cosine_target: (N,) of the swap's identity embedding and the two people's,
            in the eyes of the network that the loss looks through: a curve, not a judgment.
    """
    outside = 1.0 - mask
    kept = (residual.square().mean(1, keepdim=True) * outside).sum() / outside.sum().clamp(min=1.0)
    return {
        "held_out_identity_margin": float((cosine_source - cosine_target).mean()),
        "held_out_outside_rms": float(torch.sqrt(kept)),
    }
