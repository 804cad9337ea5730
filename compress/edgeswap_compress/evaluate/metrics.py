"""Metrics of swaps, as pure numpy functions.

Pictures are (N, H, W, 3) uint8, RGB. Weights are (N, H, W) float, 0..1. Every measure gives one
number a picture, so that intervals can be bootstrapped afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.evaluate._errors import EmptyMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pictures = NDArray[np.uint8]  # (N, H, W, 3)
    Weights = NDArray[np.float64]  # (N, H, W)
    Values = NDArray[np.float64]  # (N,)

PSNR_LIMIT_DB = 60.0
"""What identical 8-bit pictures score, so that means stay finite. Source: libvmaf, `psnr.c`,
`psnr_max = 6 * bpc + 12`."""

_LUMA = np.array([0.299, 0.587, 0.114])  # Rec. ITU-R BT.601
_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


def psnr(pictures: Pictures, references: Pictures, weights: Weights) -> Values:
    """Compute the peak signal-to-noise ratio over the weighted pixels and all three channels.

    Returns:
        (N,) decibels of 255, at most `PSNR_LIMIT_DB`.

    Raises:
        EmptyMask: the weights of a picture are all 0.
    """
    errors = (pictures.astype(np.float64) - references) ** 2
    mean = _weighted_mean(errors.mean(-1), weights)
    with np.errstate(divide="ignore"):
        decibels = 10 * np.log10(255.0**2 / mean)
    return np.minimum(decibels, PSNR_LIMIT_DB)


def psnr_of_some(pictures: Pictures, references: Pictures, weights: Weights) -> Values:
    """Compute `psnr` where there are weights at all.

    Returns:
        (N,) decibels; NaN for a picture whose weights are all 0.
    """
    some = weights.sum((1, 2)) > 0
    found = np.full(len(pictures), np.nan)
    if some.any():
        found[some] = psnr(pictures[some], references[some], weights[some])
    return found


def ssim(pictures: Pictures, references: Pictures, weights: Weights) -> Values:
    """Compute the structural similarity of the luma, averaged over the weighted pixels.

    Returns:
        (N,) in -1..1; 1 for identical pictures.

    Raises:
        EmptyMask: the weights of a picture are all 0.

    Source: Wang et al., "Image quality assessment: from error visibility to structural
    similarity", TIP 2004, equation 13 and section III-C: 11 x 11 Gaussian window of deviation 1.5,
    K1 = 0.01, K2 = 0.03; borders mirrored.
    """
    x, y = pictures @ _LUMA, references @ _LUMA
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()
    mean_x, mean_y = _filtered(x, taps), _filtered(y, taps)
    variance_x = _filtered(x * x, taps) - mean_x**2
    variance_y = _filtered(y * y, taps) - mean_y**2
    covariance = _filtered(x * y, taps) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return _weighted_mean(numerator / denominator, weights)


def fine_energy(pictures: Pictures, weights: Weights) -> Values:
    """Compute the energy of the luma's finest scale, which a 5-tap binomial blur takes away.

    Returns:
        (N,) squared gray levels, averaged over the weighted pixels. Over the same of the truth it
        is `hf_ratio`: below 1 a picture is softer than the truth, above 1 it is noisier.

    Raises:
        EmptyMask: the weights of a picture are all 0.

    Source: Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983: the first
    level, with the kernel of a = 0.375, not subsampled.
    """
    luma = pictures @ _LUMA
    return _weighted_mean((luma - _filtered(luma, _BINOMIAL)) ** 2, weights)


def distances(embeddings: NDArray[np.floating], gallery: NDArray[np.floating]) -> Values:
    """Compute Euclidean distances (N, M) between (N, D) and (M, D).

    Differences are taken before squaring, so that equal vectors are at exactly 0 and equal rows
    get equal distances: comparisons between them are strict.
    """
    wide = np.asarray(gallery, np.float64)
    rows = [np.sqrt(((wide - one) ** 2).sum(-1)) for one in np.asarray(embeddings, np.float64)]
    return np.stack(rows) if rows else np.zeros((0, len(wide)))


def cosines(embeddings: NDArray[np.floating], others: NDArray[np.floating]) -> Values:
    """Compute the cosine similarity of each row of (N, D) with the same row of (N, D): (N,)."""
    a, b = np.asarray(embeddings, np.float64), np.asarray(others, np.float64)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.clip((a * b).sum(-1) / lengths, -1.0, 1.0)


def ranks(to_gallery: Values, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the others of the gallery that are as near as the wanted entry: 0 is the nearest.

    Args:
        to_gallery: (N, M) distances.
        wanted: (N,) the gallery entry each row should find.

    Returns:
        (N,) 0..M-1; ties count against the wanted entry. Top-k retrieval is `ranks < k`.
    """
    own = np.take_along_axis(to_gallery, wanted[:, None], axis=1)
    # the entry itself is always counted, hence the 1
    nearer: NDArray[np.int64] = (to_gallery <= own).sum(1) - 1
    return nearer


def landmark_error(
    landmarks: NDArray[np.floating],
    references: NDArray[np.floating],
    eye_distances: NDArray[np.floating],
) -> Values:
    """Compute the mean distance of landmarks to those of a reference, in eye distances.

    Args:
        landmarks: (N, P, 2), pixels.
        references: (N, P, 2), pixels.
        eye_distances: (N,) between the eye centers of the reference, pixels.

    Returns:
        (N,) 0 for the same pose and expression, 0.1 for a tenth of the eye distance.

    Source: Sagonas et al., "300 faces in-the-wild challenge", ICCVW 2013, section 4: point-to-point
    error, normalized here by the distance of the eye centers, not of their outer corners.
    """
    apart: Values = np.linalg.norm(np.subtract(landmarks, references, dtype=np.float64), axis=-1)
    return apart.mean(-1) / eye_distances


def pixel_spread(pictures: NDArray[np.uint8], weights: Weights) -> Values:
    """Compute how far pictures of one thing differ: the deviation of each pixel, averaged.

    Args:
        pictures: (S, N, H, W, 3), S of each.
        weights: (N, H, W).

    Returns:
        (N,) gray levels of 255, averaged over the weighted pixels and the channels; of the sample,
        so that it does not grow with S.

    Raises:
        EmptyMask: the weights of a picture are all 0.
    """
    return _weighted_mean(np.std(pictures, axis=0, ddof=1, dtype=np.float64).mean(-1), weights)


def embedding_spread(embeddings: NDArray[np.floating]) -> Values:
    """Compute the root mean squared distance of (S, N, D) embeddings to their mean over S: (N,).

    Of the sample, as `pixel_spread`.
    """
    variance = np.var(np.asarray(embeddings, np.float64), axis=0, ddof=1)
    spread: Values = np.sqrt(variance.sum(-1))
    return spread


def _weighted_mean(maps: NDArray[np.float64], weights: Weights) -> Values:
    totals = weights.sum((1, 2))
    if not (totals > 0).all():
        raise EmptyMask(int(np.argmin(totals)))
    means: Values = (maps * weights).sum((1, 2)) / totals
    return means


def _filtered(maps: NDArray[np.float64], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve (N, H, W) with a symmetric kernel along both axes, borders mirrored."""
    reach = len(taps) // 2
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (reach, reach)
        padded = np.pad(maps, pad, mode="symmetric")
        size = maps.shape[axis]
        parts = (
            weight * np.take(padded, range(shift, shift + size), axis=axis)
            for shift, weight in enumerate(taps)
        )
        maps = sum(parts, np.zeros_like(maps))
    return maps
