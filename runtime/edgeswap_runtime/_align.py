"""Face alignment: the similarity transform from landmarks, and warping by it.

One convention everywhere: pixel coordinates are (x right, y down) and the centre of the pixel in
column i and row j lies at (i + 0.0, j + 0.0). A (2, 3) matrix maps picture points to crop points.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeswap_runtime._errors import DegenerateLandmarks, InvalidRequest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ARCFACE_112 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""(5, 2) float64, pixels of a 112 px crop: right eye (image left), left eye, nose, right and left
mouth corner. Source: insightface, `python-package/insightface/utils/face_align.py`."""

TEMPLATE_96 = (ARCFACE_112 + np.array([-4.0, -10.0])) * 96 / 104
"""(5, 2) float64, the same landmarks in the tight 96 px crop of the default model."""

_MARGIN_PX = 3  # what a bicubic kernel reaches beyond the sampled point, plus one


def similarity(points: ArrayLike, template: ArrayLike) -> NDArray[np.float64]:
    """The least-squares similarity (rotation, uniform scale, shift) from points to template.

    Args:
        points: (N, 2) landmarks in a picture, pixels, x right, y down, centres at integers.
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
    source_centred, target_centred = source - source_mean, target - target_mean
    variance = source_centred.var(0).sum()
    if not np.isfinite(source).all() or variance < 1e-6:
        raise DegenerateLandmarks(source.round(2).tolist())
    left, singular, right = np.linalg.svd(target_centred.T @ source_centred / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    scale = (singular * signs).sum() / variance
    if scale < 1e-6:
        raise DegenerateLandmarks(source.round(2).tolist())
    linear = scale * (left * signs) @ right
    return np.column_stack([linear, target_mean - linear @ source_mean])


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (2, 3) matrix that maps back: crop points to picture points."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def transform_points(matrix: NDArray[np.float64], points: ArrayLike) -> NDArray[np.float64]:
    """Apply a (2, 3) matrix to (N, 2) points."""
    moved: NDArray[np.float64] = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T
    return moved + matrix[:, 2]


def pixels_per_crop_pixel(matrix: NDArray[np.float64]) -> float:
    """How many picture pixels one crop pixel spans along an axis; above 1 the warp shrinks."""
    return 1.0 / math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Cut an aligned square crop out of a picture.

    Shrinking averages over the area each crop pixel covers, so that large faces do not alias;
    enlarging is bicubic. Beyond the picture's border its edge pixels are repeated. The cost
    follows the face's size, not the picture's.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3), picture to crop, as `similarity` gives it.
        size: the crop's side in pixels.

    Returns:
        (size, size, 3) uint8, in the picture's colour order.
    """
    to_picture = invert(matrix)
    spread = pixels_per_crop_pixel(matrix)
    corners = transform_points(to_picture, _corners(size))
    region, origin = _region(image, corners, margin_px=_MARGIN_PX + math.ceil(spread))
    # Shrink in two parts: whole pixels averaged first, which is cheap, then 2 to 4 samples per
    # crop pixel and axis, averaged.
    reduce = max(1, int(spread / 2))
    samples = math.ceil(spread / reduce - 1e-9)
    source = Image.fromarray(region)
    if reduce > 1:
        source = source.reduce(reduce)
    side = size * samples
    # From sample coordinates (side x side, corner origin) to the region's, corner origin: Pillow
    # puts pixel centres at integer + 0.5.
    linear = to_picture[:, :2] / (samples * reduce)
    shift = to_picture[:, :2] @ [-0.5, -0.5] + to_picture[:, 2] + 0.5 - origin
    coefficients = np.column_stack([linear, shift / reduce]).ravel().tolist()
    filtering = Image.Resampling.BICUBIC if spread <= 1 else Image.Resampling.BILINEAR
    sampled = source.transform(
        (side, side), Image.Transform.AFFINE, coefficients, resample=filtering
    )
    if samples > 1:
        sampled = sampled.reduce(samples)
    return np.asarray(sampled)


def _corners(size: int) -> NDArray[np.float64]:
    low, high = -0.5, size - 0.5
    return np.array([[low, low], [high, low], [high, high], [low, high]])


def _region(
    image: NDArray[np.uint8], corners: NDArray[np.float64], *, margin_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of a picture around some points, edge pixels repeated beyond the border.

    Returns:
        the region (h, w, 3) uint8 and its (x, y) origin in the picture.
    """
    height, width = image.shape[:2]
    left, top = np.floor(corners.min(0)).astype(int) - margin_px
    right, bottom = np.ceil(corners.max(0)).astype(int) + 1 + margin_px
    inner = image[
        min(max(top, 0), height - 1) : max(min(bottom, height), 1),
        min(max(left, 0), width - 1) : max(min(right, width), 1),
    ]
    before = (min(max(-top, 0), bottom - top - 1), min(max(-left, 0), right - left - 1))
    pad_y = (before[0], bottom - top - before[0] - inner.shape[0])
    pad_x = (before[1], right - left - before[1] - inner.shape[1])
    if any((*pad_y, *pad_x)):
        inner = np.pad(inner, (pad_y, pad_x, (0, 0)), mode="edge")
    return np.ascontiguousarray(inner), np.array([left, top], dtype=np.float64)
