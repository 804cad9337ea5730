"""Batches of pairs, as one model sees them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import latents_to_sample
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.fit.losses import face_weights
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.material.pairs import Drawn, PairSet
from edgeswap_compress.fit.material.sight import Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatch:
    """Pairs of one draw.

    Attributes:
        target: (N, C, S, S) float32 latents of the targets.
        truth: (N, C, S, S) float32 latents of the truths; the targets' where ``exact`` fails.
        clean: (N, C, S, S) float32, the clean samples that lead to the truths.
        maps, condition: what the denoiser sees of the pairs, in its dtype.
        exact: (N,) bool, whether the truth is known.
        weights: (N, 1, S, S) of a loss, mean 1.
    """

    target: Tensor
    truth: Tensor
    clean: Tensor
    maps: TargetMaps
    condition: Condition
    exact: Tensor
    weights: Tensor

    def apart(self, found: Tensor, wanted: Tensor, counted: Tensor | None = None) -> Tensor:
        """Measure the weighted mean square distance of (N, C, S, S).

        Args:
            found: what was predicted.
            wanted: what should have been.
            counted: (N,) bool, samples that count; all when None.
        """
        each = ((found - wanted).square() * self.weights).mean((1, 2, 3))
        return each.mean() if counted is None else (each * counted.float()).mean()


class PairReader:
    """Reads pairs as one model sees them, on its device and in its dtype.

    Args:
        model: where it computes; it is only read.
        mask_weight: added to the weight of a loss inside the faces.
    """

    def __init__(self, model: Checkpoint, mask_weight: float) -> None:
        self._swap, self._sight, self._mask_weight = model.swap, Sight(model), mask_weight
        self._dtype, self._device = next(model.unet.parameters()).dtype, device_of(model.unet)

    def cast(self, x: Tensor) -> Tensor:
        """Convert to the modules' device, dtype and memory order."""
        return x.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def read(self, pairs: PairSet, drawn: Drawn, kept: Tensor | None = None) -> PairBatch:
        """Read the pairs of a draw.

        Args:
            pairs: that were drawn from.
            drawn: positions of N of them.
            kept: (N,) bool, whose source is told; all when None.
        """
        places, device = drawn.places, self._device
        target, source = (pairs.known.at(x, device) for x in (places.target, places.source))
        truth, seen = pairs.truths(drawn, device), self.cast(target)
        condition = self._sight.condition(self.cast(source), places, pairs.features)
        if kept is not None:
            condition = condition.where(kept, self._sight.null(len(target)))
        weights = face_weights(pairs.masks(places, device), self._mask_weight)
        return PairBatch(
            target=target,
            truth=truth,
            clean=latents_to_sample(self._swap, truth, target),
            maps=self._sight.maps(seen, places, pairs.features),
            condition=condition,
            exact=torch.from_numpy(places.exact).to(device),
            weights=weights / weights.mean(),
        )
