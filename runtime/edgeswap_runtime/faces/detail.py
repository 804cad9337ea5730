"""Keep the target's own fine detail in faces that are larger than the crop.

A swapped crop of 96 px, enlarged to a face of 400 px, is smooth: pores, grain and noise are gone,
and the face looks pasted. What the crop cannot hold, the target's picture less its own crop
enlarged, is given back where the swap left the skin as it was. Where it changed (eyes, brows,
mouth) the target's detail would be another person's, and the swap stays smooth.

`benchmarks/studies/detail.py` measures it against plain enlarging.

Source: Burt, Adelson, "A multiresolution spline with application to image mosaics", ACM
Transactions on Graphics 1983, section 3 (Laplacian pyramid: a picture less its enlarged reduction).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANGE = 14.0
"""Change of brightness by the swap, of 255, at which a third of the detail is still kept."""
FROM_SPREAD = 1.15
"""Picture pixels per crop pixel below which nothing is lost."""
FULL_SPREAD = 1.6
"""From here on all of the detail is given back."""
_BLUR_PX = 1.5  # of a 96 px crop
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class Detail:
    """What a swap keeps of the picture's own fine detail.

    Attributes:
        share: (R, R) float32, 0..1, how much of it each pixel of the crop keeps.
        target: (R, R, 3) uint8, the target's crop: what the picture has beyond it is fine detail.
    """

    share: NDArray[np.float32]
    target: NDArray[np.uint8]


def detail_to_keep(
    swapped: NDArray[np.float32], target: NDArray[np.uint8], matrix: NDArray[np.float64]
) -> Detail | None:
    """Say how much of the target's detail each pixel of a crop keeps.

    Args:
        swapped: (R, R, 3) float32, RGB, 0..255.
        target: (R, R, 3) uint8, the crop it was made from.
        matrix: (2, 3), picture to crop.

    Returns:
        the detail; None where the face is no larger than the crop.
    """
    spread = 1 / math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    strength = min(1.0, (spread - FROM_SPREAD) / (FULL_SPREAD - FROM_SPREAD))
    if strength <= 0:
        return None
    change = np.abs((swapped - target) @ _LUMA).clip(0, 255).astype(np.uint8)
    # The largest change near by counts: the rim of an eye has fine detail, too.
    near = Image.fromarray(change).filter(ImageFilter.MaxFilter(3))
    blurred = near.filter(ImageFilter.GaussianBlur(_BLUR_PX * len(change) / 96))
    share = np.asarray(blurred, dtype=np.float32) / np.float32(CHANGE)
    return Detail(np.float32(strength) * np.exp(-(share**2)), target)
