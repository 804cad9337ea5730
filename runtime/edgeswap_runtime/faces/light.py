"""Bring a crop's light into the range the models were trained on, and take it back afterwards.

The models saw faces in the light of a portrait. In crops darker than that, or tinted green or blue,
their swaps lose shape. So the channels of such a crop are scaled to the mean of the training
pictures before the swap, and back after it. Crops in normal light are left alone. Measured on the
faces (20 to 80 px of the 96 px crop) of 72 renders of 24 people: means of 98 to 185, red 1.15 to
1.49, green 0.87 to 1.00 and blue 0.63 to 0.88 of the mean.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.faces.align import to_uint8

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgeswap_runtime.faces.crops import FaceCrops, SwappedCrop

TYPICAL = np.array([175.0, 135.0, 105.0], dtype=np.float32)
"""(3,) mean of red, green and blue of a face in the training pictures, 0..255."""
MEAN_BOUNDS = (55.0, 220.0)
"""Means of a face in normal light, 0..255. Dark skin in normal light is above the lower one."""
TINT_BOUNDS = np.array([[0.85, 1.75], [0.7, 1.15], [0.4, 1.12]])
"""(3, 2) least and most of red, green and blue in normal light, as a share of the mean. Gray is
within them."""
GAIN_BOUNDS = (0.25, 6.0)
GRAY_STEP = 2
FACE = (0.2, 0.8)


def in_normal_light(face: FaceCrops, swap: Callable[[FaceCrops], SwappedCrop]) -> SwappedCrop:
    """Swap a face in normal light, and give the result the face's own light again.

    Args:
        face: of the target; the light is that of its crop `model`.
        swap: swaps such a face.

    Returns:
        the swapped crop; gray where the crop is gray.
    """
    gain = light_gain(face.model)
    if gain is None:
        swapped = swap(face)
    else:
        swapped = swap(face.changed(lambda crop: apply_gain(crop, gain)))
        swapped = replace(swapped, crop=swapped.crop / gain)
    return replace(swapped, crop=to_gray(swapped.crop)) if is_gray(face.model) else swapped


def light_gain(crop: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Compute the factors that bring a crop's light into the trained range.

    Args:
        crop: (R, R, 3) uint8, RGB, aligned.

    Returns:
        (3,) float32, 0.25 to 6, one for each channel; None where the light is normal.
    """
    low, high = (round(share * len(crop)) for share in FACE)
    means = np.maximum(crop[low:high, low:high].reshape(-1, 3).mean(0, dtype=np.float32), 1)
    tints = means / means.mean()
    within = (tints >= TINT_BOUNDS[:, 0]) & (tints <= TINT_BOUNDS[:, 1])
    if MEAN_BOUNDS[0] <= means.mean() <= MEAN_BOUNDS[1] and within.all():
        return None
    gain: NDArray[np.float32] = np.clip(TYPICAL / means, *GAIN_BOUNDS).astype(np.float32)
    return gain


def apply_gain(crop: NDArray[np.uint8], gain: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale a crop's channels; what exceeds 255 is cut off there."""
    return to_uint8(crop * gain)


def is_gray(crop: NDArray[np.integer] | NDArray[np.floating]) -> bool:
    """True for a crop whose channels are equal everywhere, but for rounding."""
    return float(np.ptp(crop, axis=2).max()) <= GRAY_STEP


def to_gray(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """Drop the color of a swapped crop: each channel becomes the luma of ITU-R BT.601."""
    luma = crop @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.repeat(luma[..., None], 3, axis=2)
