"""Align faces: fit a similarity transform to landmarks, and warp pictures by it.

One convention everywhere: pixel coordinates are (x right, y down) and the center of the pixel in
column i and row j lies at (i + 0.0, j + 0.0). A (2, 3) matrix maps picture points to crop points.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeswap_runtime.errors import DegenerateLandmarks, InvalidRequest
from edgeswap_runtime.faces.templates import TIGHT_96

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    Pixels = NDArray[Any]  # (H, W, C) uint8 or float32
    Each = Callable[
        [Callable[[Image.Image], NDArray[np.float32]], list[Image.Image]],
        Iterable[NDArray[np.float32]],
    ]

TEMPLATE_96 = np.array(TIGHT_96)
"""(5, 2) float64, pixels: where the landmarks lie in the crop of the default model."""

_KERNEL_PX = 3  # what a bicubic kernel reaches beyond the sampled point, plus one
# Enlarging goes through a bicubic resize by this factor, then bilinear: the bicubic of Pillow's
# `transform` is the sharper Keys kernel (a = -1), which rings and moves edges by a tenth of a
# pixel.
# Odd, so that the old pixel centers are among the new ones.
_ENLARGE = 3


def similarity(points: ArrayLike, template: ArrayLike) -> NDArray[np.float64]:
    """Fit the least-squares similarity (rotation, uniform scale, shift) from points to template.

    Args:
        points: (N, 2) landmarks in a picture, pixels, x right, y down, centers at integers.
        template: (N, 2) where they shall come to lie, same convention.

    Returns:
        (2, 3) float64 matrix M with `template ≈ points @ M[:, :2].T + M[:, 2]`; no reflection.

    Raises:
        DegenerateLandmarks: a point is not finite, or all points coincide.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", TPAMI 1991, equations 40-43.
    """
    source = np.asarray(points, dtype=np.float64)
    target = np.asarray(template, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise InvalidRequest(
            f"landmarks of shape {source.shape} cannot be aligned to {target.shape}: "
            "expected two arrays of shape (N, 2)"
        )
    source_mean, target_mean = source.mean(0), target.mean(0)
    source_centered, target_centered = source - source_mean, target - target_mean
    variance = source_centered.var(0).sum()
    if not np.isfinite(source).all() or variance < 1e-6:
        raise DegenerateLandmarks(source.round(2).tolist())
    # In the plane the fit is one complex number: along is scale times cosine, across times sine.
    (xx, xy), (yx, yy) = (source_centered.T @ target_centered / len(source) / variance).tolist()
    along, across = xx + yy, xy - yx
    if math.hypot(along, across) < 1e-6:
        raise DegenerateLandmarks(source.round(2).tolist())
    linear = np.array([[along, -across], [across, along]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (2, 3) matrix that maps back, from crop points to picture points."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def transform_points(matrix: NDArray[np.float64], points: ArrayLike) -> NDArray[np.float64]:
    """Apply a (2, 3) matrix to (N, 2) points."""
    moved: NDArray[np.float64] = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T
    return moved + matrix[:, 2]


def warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int, *, each: Each = map
) -> NDArray[np.uint8]:
    """Cut an aligned square crop out of a picture.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3), picture to crop, as `similarity` gives it.
        size: the crop's side in pixels.
        each: as for `resample`.

    Returns:
        (size, size, 3) uint8, in the picture's color order, resampled as `resample` says.
    """
    return to_uint8(resample(image, invert(matrix), (size, size), each=each))


def resample(
    image: Pixels,
    to_image: NDArray[np.float64],
    size: tuple[int, int],
    *,
    each: Each = map,
) -> NDArray[np.float32]:
    """Resample a picture on a rotated, scaled and shifted grid.

    Shrinking averages over the area each output pixel covers, so that large faces do not alias;
    enlarging is bicubic. Beyond the picture's border its edge pixels are repeated. The cost
    follows the size of the part that is looked at, not the picture's.

    Args:
        image: (H, W, C) uint8 or float32.
        to_image: (2, 3) similarity from output pixels to picture pixels.
        size: (width, height) of the output.
        each: applies a function to each channel: `map`, or the `map` of a pool of threads, which
            saves a third of the time on two cores (Pillow lets go of the interpreter).

    Returns:
        (height, width, C) float32 in the picture's units; bicubic may overshoot its range.
    """
    spread = math.sqrt(abs(float(np.linalg.det(to_image[:, :2]))))  # picture px per output px
    region, origin = cut_region(image, transform_points(to_image, _corners(size)), spread)
    enlarging = spread < 1 + 1e-6
    # Shrink in two parts: whole pixels averaged first, which is cheap; what is left of the factor
    # (below 2) by 2 x 2 samples per output pixel.
    reduce = 1 if enlarging else int(spread)
    samples = 1 if enlarging else 2
    zoom = _ENLARGE if enlarging else 1 / reduce
    # From sample indices + 0.5 to the region's coordinates: Pillow has pixel centers at + 0.5.
    linear = to_image[:, :2] / samples
    shift = to_image[:, :2] @ [-0.5, -0.5] + to_image[:, 2] + 0.5 - origin
    coefficients = tuple((np.column_stack([linear, shift]) * zoom).ravel().tolist())

    def look_up(plane: Image.Image) -> NDArray[np.float32]:
        if enlarging:
            larger = (plane.width * _ENLARGE, plane.height * _ENLARGE)
            plane = plane.resize(larger, Image.Resampling.BICUBIC)
        sampled = plane.transform(
            (size[0] * samples, size[1] * samples),
            Image.Transform.AFFINE,
            coefficients,
            resample=Image.Resampling.BILINEAR,
        )
        return np.asarray(sampled.reduce(samples) if samples > 1 else sampled)

    return np.stack(list(each(look_up, _planes(region, reduce))), axis=-1)


def spread_out(
    image: Pixels, to_image: NDArray[np.float64], size: tuple[int, int], *, each: Each = map
) -> Image.Image:
    """Resample a small picture, such as a swapped crop, on the grid of a larger one, in bytes.

    Turning costs by the sample, many times what enlarging by rows and columns does. So where the
    grid is finer than a third of a pixel, the picture is turned at a third, as `resample` does it,
    and then enlarged.

    Args:
        image: (h, w, 1 or 3) uint8 or float32, 0..255.
        to_image: (2, 3) similarity from output pixels to pixels of `image`.
        size: (width, height) of the output.
        each: as for `resample`.

    Returns:
        a Pillow image of that size, L or RGB.
    """
    pitch = math.hypot(*to_image[:, 0]) * _ENLARGE  # samples for a pixel
    if pitch >= 1:
        return _byte_image(resample(image, to_image, size, each=each))
    right, bottom = (_KERNEL_PX + pitch * side for side in size)
    box = (float(_KERNEL_PX), float(_KERNEL_PX), right, bottom)
    samples = (math.ceil(right) + _KERNEL_PX, math.ceil(bottom) + _KERNEL_PX)
    # From indices of samples to indices of pixels; Pillow has the centers at + 0.5.
    first = np.full(2, (0.5 - _KERNEL_PX) / pitch - 0.5)
    shift = to_image[:, :2] @ first + to_image[:, 2]
    to_samples = np.column_stack([to_image[:, :2] / pitch, shift])
    turned = _byte_image(resample(image, to_samples, samples, each=each))
    return turned.resize(size, Image.Resampling.BICUBIC, box=box)


def _byte_image(values: NDArray[np.float32]) -> Image.Image:
    whole = to_uint8(values)
    return Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole)


def to_uint8(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round to the nearest whole number of 0..255."""
    # One array for both steps: the whole face's box passes through here.
    rounded = np.rint(values)
    np.clip(rounded, 0, 255, out=rounded)
    whole: NDArray[np.uint8] = rounded.astype(np.uint8)
    return whole


def _planes(region: Pixels, reduce: int) -> list[Image.Image]:
    """Split channels into Pillow's float images: 8-bit transforms would lose half a gray level."""
    if reduce > 1 and region.dtype == np.uint8 and region.shape[2] == 3:
        region = np.asarray(Image.fromarray(region).reduce(reduce))
        reduce = 1
    planes = [
        Image.fromarray(np.ascontiguousarray(region[..., channel], dtype=np.float32))
        for channel in range(region.shape[2])
    ]
    return [plane.reduce(reduce) for plane in planes] if reduce > 1 else planes


def _corners(size: tuple[int, int]) -> NDArray[np.float64]:
    right, bottom = size[0] - 0.5, size[1] - 0.5
    return np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])


def cut_region(
    image: Pixels, corners: NDArray[np.float64], spread: float
) -> tuple[Pixels, NDArray[np.float64]]:
    """Cut the part of a picture around some points; repeat edge pixels beyond the border.

    Args:
        image: (H, W, C).
        corners: (N, 2) points; the part holds all of them and what a kernel reaches beyond.
        spread: picture pixels per output pixel, which the kernel's reach grows with.

    Returns:
        the region (h, w, C) and its (x, y) origin in the picture.
    """
    height, width = image.shape[:2]
    margin = _KERNEL_PX + math.ceil(spread)
    left, top = (int(v) for v in np.floor(corners.min(0)) - margin)
    right, bottom = (int(v) for v in np.ceil(corners.max(0)) + 1 + margin)
    origin = np.array([left, top], dtype=np.float64)
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return np.ascontiguousarray(image[top:bottom, left:right]), origin
    rows = np.arange(top, bottom).clip(0, height - 1)
    columns = np.arange(left, right).clip(0, width - 1)
    return image[rows[:, None], columns[None, :]], origin
