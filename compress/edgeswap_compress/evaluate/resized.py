"""Judge a model on crops of another side or alignment than its own, re-cut for it and back."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeswap_runtime.faces.align import invert, similarity, transform_points, warp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_compress.evaluate.models import ModelFacts, SwapModel

    Crops = NDArray[np.uint8]  # (N, R, R, 3) RGB

TEMPLATE_TOLERANCE_PX = 0.5
"""At 96 px: a shift that no measure would notice."""


def resized(crops: Crops, side: int) -> Crops:
    """Give crops another side, by Lanczos windows as wide as the coarser of the two needs.

    Args:
        crops: (N, R, R, 3) uint8 RGB.
        side: pixels.
    """
    if crops.shape[1] == side:
        return crops
    images = (
        Image.fromarray(crop).resize((side, side), Image.Resampling.LANCZOS) for crop in crops
    )
    return np.stack([np.asarray(image) for image in images])


def of_form(model: SwapModel, template: NDArray[np.float64], side: int) -> SwapModel:
    """Give a model that swaps crops of a side and alignment, re-cut where its own are others."""
    fitted = ResizedModel(model, template, side)
    return fitted if fitted.changes else model


class ResizedModel:
    """Model of other crops than those to be judged, so that two sizes can be told on one set.

    What it swaps is brought to its own side and alignment, and its swaps back: what a smaller model
    cannot show is lost, as it is in a picture. Where its crops are wider than the set's, the edge's
    pixels are repeated around them.

    Args:
        model: opened.
        template: (5, 2) landmarks of the crops to be judged, pixels.
        side: of the crops to be judged, pixels.
    """

    def __init__(self, model: SwapModel, template: NDArray[np.float64], side: int) -> None:
        self._model, self._side, self._own = model, side, model.facts.resolution_px
        own = np.array(model.facts.landmarks_px)
        scale = self._own / side
        apart = float(np.abs(own - template * scale).max()) * 96 / self._own
        self._to_own: NDArray[np.float64] | None = None
        if apart > TEMPLATE_TOLERANCE_PX:  # another alignment, not only another side
            self._to_own = similarity(template, own)
            scale = math.sqrt(abs(float(np.linalg.det(self._to_own[:, :2]))))
        self.facts = self._seen(template, scale)

    @property
    def changes(self) -> bool:
        """Whether crops have to be re-cut at all."""
        return self._to_own is not None or self._own != self._side

    def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
        """Swap as `SwapModel.swap`; crops are of the set's form."""
        return self._back(self._model.swap(self._cut(targets), self._cut(sources), noise))

    def reconstruct(self, crops: Crops) -> Crops | None:
        """Encode and decode crops, see `SwapModel.reconstruct`."""
        found = self._model.reconstruct(self._cut(crops))
        return None if found is None else self._back(found)

    def _cut(self, crops: Crops) -> Crops:
        if self._to_own is None:
            return resized(crops, self._own)
        return np.stack([warp(crop, self._to_own, self._own) for crop in crops])

    def _back(self, crops: Crops) -> Crops:
        if self._to_own is None:
            return resized(crops, self._side)
        return np.stack([warp(crop, invert(self._to_own), self._side) for crop in crops])

    def _seen(self, template: NDArray[np.float64], scale: float) -> ModelFacts:
        """Give the model's facts in the set's pixels; of what it is, all stays."""
        facts = self._model.facts
        mask, landmarks = facts.mask, np.array(facts.landmarks_px) / scale
        center = np.array(mask.center_px) / scale
        if self._to_own is not None:
            landmarks = template
            center = transform_points(invert(self._to_own), [mask.center_px])[0]
        x, y = center.tolist()
        return dataclasses.replace(
            facts,
            resolution_px=self._side,
            landmarks_px=tuple((x, y) for x, y in landmarks.tolist()),
            mask=dataclasses.replace(
                mask,
                center_px=(x, y),
                radii_px=(mask.radii_px[0] / scale, mask.radii_px[1] / scale),
                feather_px=mask.feather_px / scale,
            ),
            own_resolution_px=facts.resolution_px,
        )
