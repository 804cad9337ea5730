"""Judge a model on crops of another side than its own, enlarged or shrunk for it and back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_compress.evaluate._models import ModelFacts, SwapModel

    Crops = NDArray[np.uint8]  # (N, R, R, 3) RGB


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


class ResizedModel:
    """Model of other crops than those to be judged, so that two sizes can be told on one set.

    What it swaps is resized to its own side, and its swaps back: what a smaller model cannot show
    is lost, as it is in a picture.

    Args:
        model: opened.
        side: of the crops to be judged, pixels.
    """

    def __init__(self, model: SwapModel, side: int) -> None:
        self._model, self._side, self._own = model, side, model.facts.resolution_px
        self.facts = _scaled(model.facts, side)

    def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
        """Swap as `SwapModel.swap`; crops are of the other side."""
        swaps = self._model.swap(resized(targets, self._own), resized(sources, self._own), noise)
        return resized(swaps, self._side)

    def reconstruct(self, crops: Crops) -> Crops | None:
        """Encode and decode crops, see `SwapModel.reconstruct`."""
        found = self._model.reconstruct(resized(crops, self._own))
        return None if found is None else resized(found, self._side)


def _scaled(facts: ModelFacts, side: int) -> ModelFacts:
    """Scale every length of a model's crop; of what it is, all stays."""
    scale, mask = side / facts.resolution_px, facts.mask
    return dataclasses.replace(
        facts,
        resolution_px=side,
        landmarks_px=tuple((x * scale, y * scale) for x, y in facts.landmarks_px),
        mask=dataclasses.replace(
            mask,
            center_px=(mask.center_px[0] * scale, mask.center_px[1] * scale),
            radii_px=(mask.radii_px[0] * scale, mask.radii_px[1] * scale),
            feather_px=mask.feather_px * scale,
        ),
        own_resolution_px=facts.resolution_px,
    )
