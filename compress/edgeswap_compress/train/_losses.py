"""Loss terms that training and distillation share."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from edgeswap_compress._conditioner import SourceConditioner
from edgeswap_compress.train._cache import LatentGroups, TripletDraw


def mask_weights(data: LatentGroups, t: TripletDraw, inside: float) -> Tensor:
    """Loss weights (N, 1, S, S) of mean 1: 0.25 outside the faces of target and truth, more inside.

    Args:
        inside: added where the mask is 1.
    """
    mask = torch.maximum(data.masks[t.group, t.target], data.masks[t.group, t.truth]).float()
    weight = 0.25 + inside * mask[:, None]
    return weight / weight.mean()


class LatentIdentityLoss:
    """Distance of two batches of latents in the eyes of a frozen copy of a source encoder.

    1 - cosine of the identity embeddings, plus 0.3 x the relative L1 distance of the feature maps
    (a perceptual loss, 1603.08155, on a network that knows faces). It is easily gamed, so it is a
    loss only and never a figure.
    """

    def __init__(self, conditioner: SourceConditioner) -> None:
        self._judge = copy.deepcopy(conditioner).requires_grad_(False).eval()
        self._dtype = next(self._judge.parameters()).dtype

    def __call__(self, predicted: Tensor, truth: Tensor, kept: Tensor | None = None) -> Tensor:
        """Mean loss over the samples where ``kept`` (N,) bool holds; latents are (N, C, S, S)."""
        maps, embedding = self._features(predicted)
        with torch.no_grad():
            wanted_maps, wanted = self._features(truth)
        cosine = (embedding * wanted).sum(1)
        apart = (maps - wanted_maps).abs().mean((1, 2, 3)) / (wanted_maps.abs().mean() + 1e-6)
        loss = 1.0 - cosine + 0.3 * apart
        if kept is None:
            return loss.mean()
        return (loss * kept.float()).sum() / kept.float().sum().clamp(min=1.0)

    def _features(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        cast = latents.to(self._dtype).contiguous(memory_format=torch.channels_last)
        maps, embedding = self._judge.features(cast)
        return maps.float(), embedding.float()
