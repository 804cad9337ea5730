"""Paste a swapped crop back through a soft mask; pixels outside it keep their bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.faces.align import invert, resample, to_uint8, transform_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.manifest import Mask
    from edgeswap_runtime.faces.align import Each


FACE_SHARE = 0.9
"""Of the mask's radii, how much is pasted. The masks in manifests hold all that training looked at,
past jaw and hairline; at 0.9 no swap shows there, at 0.8 the target's outer brows stay."""


def face_mask(mask: Mask) -> Mask:
    """The part of a manifest's mask that is pasted: its radii times `FACE_SHARE`."""
    width, height = mask.radii_px
    return replace(mask, radii_px=(width * FACE_SHARE, height * FACE_SHARE))


def mask_weights(
    mask: Mask, x: NDArray[np.floating], y: NDArray[np.floating], size_px: int
) -> NDArray[np.float32]:
    """Compute the mask's weight at points of the crop.

    With r = (|x/rx|^n + |y/ry|^n)^(1/n) around the center, the depth below the superellipse is
    (1 - r) * min(rx, ry) pixels; the weight rises from 0 at depth 0 to 1 at `feather_px`, smoothly
    at both ends. A superellipse that reaches beyond the crop is cut off at its border, feathered
    too.

    Args:
        mask: the superellipse, in crop pixels.
        x: crop coordinates, any shape.
        y: the same shape.
        size_px: the crop's side.

    Returns:
        float32 of that shape, 0..1; exactly 0 outside.
    """
    across = np.abs((x - mask.center_px[0]) / mask.radii_px[0])
    along = np.abs((y - mask.center_px[1]) / mask.radii_px[1])
    radius = (_power(across, mask.exponent) + _power(along, mask.exponent)) ** (1 / mask.exponent)
    depth = (1 - radius) * min(mask.radii_px)
    border = (size_px - 1) / 2
    depth = np.minimum(depth, border - np.maximum(np.abs(x - border), np.abs(y - border)))
    if mask.feather_px == 0:
        return np.asarray(depth > 0, dtype=np.float32)
    rise = np.clip(depth / mask.feather_px, 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), dtype=np.float32)


def _power(base: NDArray[np.floating], exponent: float) -> NDArray[np.floating]:
    """Raise to a power; 2.5, which is usual, by products and a root in a third of the time."""
    return base * base * np.sqrt(base) if exponent == 2.5 else base**exponent


def paste(
    picture: NDArray[np.uint8],
    crop: NDArray[np.float32],
    matrix: NDArray[np.float64],
    mask: Mask,
    *,
    alpha: NDArray[np.float32] | None = None,
    detail: NDArray[np.float32] | None = None,
    each: Each = map,
) -> None:
    """Blend a crop into a picture, in place.

    Pixels where the mask, or alpha, is 0 keep their bytes.

    Args:
        picture: (H, W, 3) uint8, RGB; changed.
        crop: (R, R, 3) float32, RGB, 0..255, finite; clipped to that range after interpolation.
        matrix: (2, 3), picture to crop, by which the crop was cut.
        mask: in crop pixels.
        alpha: (R, R) float32, 0..1; the mask's weight is multiplied by it, so that what lies over
            the face stays. None multiplies by 1.
        detail: (R, R) float32, 0..1, the share of the picture that is added to the crop before it
            is blended; the crop has been lessened by as much, see `faces.detail`. None adds none.
        each: as for `resample`.
    """
    size = crop.shape[0]
    left, top, right, bottom = _reach(picture, matrix, mask, size)
    if left >= right or top >= bottom:
        return
    # From the region's pixels to the crop's.
    to_crop = matrix.copy()
    to_crop[:, 2] += matrix[:, :2] @ [left, top]
    columns = np.arange(right - left, dtype=np.float32)
    rows = np.arange(bottom - top, dtype=np.float32)[:, None]
    (a, b, c), (d, e, f) = to_crop.tolist()
    weights = mask_weights(mask, a * columns + (b * rows + c), d * columns + (e * rows + f), size)
    extent = (right - left, bottom - top)
    if alpha is not None:
        shown = resample(alpha[..., None], to_crop, extent, each=each)[..., 0]
        weights *= np.clip(shown, 0, 1)
    region = picture[top:bottom, left:right]
    if detail is None:
        blended = resample(crop, to_crop, extent, each=each)
    else:
        lessened = resample(np.dstack([crop, detail]), to_crop, extent, each=each)
        blended = lessened[..., :3] + lessened[..., 3:] * region
    np.clip(blended, 0, 255, out=blended)
    # Where the weight is 0 this is region + 0, exact in float32: the byte stays what it was.
    blended -= region
    blended *= weights[..., None]
    blended += region
    region[...] = to_uint8(blended)


def _reach(
    picture: NDArray[np.uint8], matrix: NDArray[np.float64], mask: Mask, size_px: int
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the part in which the mask may be above 0."""
    center, radii = np.array(mask.center_px), np.array(mask.radii_px)
    low = np.maximum(center - radii, 0)
    high = np.minimum(center + radii, size_px - 1)
    corners = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
    there = transform_points(invert(matrix), corners)
    height, width = picture.shape[:2]
    left, top = (max(0, int(v)) for v in np.floor(there.min(0)))
    right, bottom = (int(v) + 1 for v in np.ceil(there.max(0)))
    return left, top, min(right, width), min(bottom, height)
