"""Paste a swapped crop back through a soft mask; pixels outside it keep their bytes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from edgeswap_runtime.faces.align import invert, spread_out, to_uint8, transform_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.manifest import Mask
    from edgeswap_runtime.faces.align import Each
    from edgeswap_runtime.faces.detail import Detail


FACE_SHARE = 0.9
"""Of the mask's radii, how much is pasted. The masks in manifests hold all that training looked at,
past jaw and hairline; at 0.9 no swap shows there, at 0.8 the target's outer brows stay."""

_POINTS_PER_CROP_PX = 3


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
    detail: Detail | None = None,
    each: Each = map,
) -> None:
    """Blend a crop into a picture, in place.

    Pixels where the mask, or alpha, is 0 keep their bytes.

    Args:
        picture: (H, W, 3) uint8, RGB; changed.
        crop: (R, R, 3) float32, RGB, 0..255, finite; rounded to bytes.
        matrix: (2, 3), picture to crop, by which the crop was cut.
        mask: in crop pixels.
        alpha: (R, R) float32, 0..1; the mask's weight is multiplied by it, so that what lies over
            the face stays. None multiplies by 1.
        detail: what of the picture's own fine detail is added to the crop; None adds none.
        each: as for `resample`.
    """
    size = crop.shape[0]
    left, top, right, bottom = _reach(picture, matrix, mask, size)
    if left >= right or top >= bottom:
        return
    # From the region's pixels to the crop's.
    to_crop = matrix.copy()
    to_crop[:, 2] += matrix[:, :2] @ [left, top]
    extent = (right - left, bottom - top)
    region = picture[top:bottom, left:right]
    weights = _region_weights(mask, to_crop, extent, size)
    if alpha is not None:
        shown = spread_out(alpha[..., None] * 255, to_crop, extent, each=each)
        weights = ImageChops.multiply(weights, shown)
    swapped = spread_out(crop, to_crop, extent, each=each)
    if detail is not None:
        coarse = spread_out(detail.target, to_crop, extent, each=each)
        finer = region - np.asarray(coarse, np.float32)
        share = spread_out(detail.share[..., None] * 255, to_crop, extent, each=each)
        kept = finer * np.asarray(share, np.float32)[..., None] / 255
        swapped = Image.fromarray(to_uint8(kept + np.asarray(swapped)))
    there = Image.fromarray(np.ascontiguousarray(region))
    region[...] = np.asarray(Image.composite(swapped, there, weights))


def _region_weights(
    mask: Mask, to_crop: NDArray[np.float64], extent: tuple[int, int], size_px: int
) -> Image.Image:
    """Compute the mask's weights on a part of a picture; see `mask_weights`.

    Where the face is much larger than its crop, they are computed at `_POINTS_PER_CROP_PX` points
    of a crop pixel and interpolated; each point is given the least weight around it, so that no
    weight is above 0 outside the mask.

    Args:
        mask: in crop pixels.
        to_crop: (2, 3), from pixels of the part to crop pixels.
        extent: (width, height) of the part.
        size_px: the crop's side.

    Returns:
        a Pillow image of bytes, 255 for weight 1.
    """
    # Pixels between points.
    pitch = max(1.0, 1 / (_POINTS_PER_CROP_PX * math.hypot(*to_crop[:, 0])))
    exact = pitch == 1
    points = [side if exact else math.ceil(side / pitch) + 2 for side in extent]
    # Between others the first point lies a pitch before the first pixel, the last behind the last.
    across, down = (pitch * (np.arange(n, dtype=np.float32) - (not exact)) for n in points)
    (a, b, c), (d, e, f) = to_crop.tolist()
    x, y = a * across + (b * down[:, None] + c), d * across + (e * down[:, None] + f)
    weights = Image.fromarray(to_uint8(mask_weights(mask, x, y, size_px) * 255))
    if exact:
        return weights
    start = 1.5 - 0.5 / pitch  # Pillow has the centers of points at + 0.5
    box = (start, start, start + extent[0] / pitch, start + extent[1] / pitch)
    least = weights.filter(ImageFilter.MinFilter(3))
    return least.resize(extent, Image.Resampling.BILINEAR, box=box)


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
