"""Mark swapped faces invisibly, and find the mark again in a picture that lost its metadata.

A fixed pattern is added to the color of the swapped crop before it is pasted, so that nothing
outside the mask changes. It lies in face coordinates: whoever finds the face again, in a smaller,
compressed or cut picture, finds the pattern. It says one thing, "a face was swapped here", and
nothing about whom or by whom. It is no protection against somebody who wants it gone.

The pattern is noise of wavelengths from 7 to 16 px of the 96 px crop, one for each of the two
color-difference signals: the eye sees little of it there, faces have little of their own, and JPEG
and video keep it. Gray pictures have no color to carry it, and stay without.

`benchmarks/studies/watermark.py` measures how often it is found, and found where there is none.

Source: Cox, Kilian, Leighton, Shamoon, "Secure spread spectrum watermarking for multimedia", IEEE
Transactions on Image Processing 1997, equations 1 and 14 (additive mark, similarity).
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.faces.align import TEMPLATE_96, invert, resample, similarity, warp
from edgeswap_runtime.faces.light import is_gray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgeswap_runtime.faces.detect import Face

SIDE_PX = 96
AMPLITUDES = (2.0, 1.5)
"""Standard deviation of the pattern in Cb and Cr, of 255."""
THRESHOLD = 20.0
"""Least similarity that counts as found; faces without the mark had at most 14."""
LEAST_CROP_PX = 64
"""Smaller crops cannot hold the pattern and stay without it."""
_WAVELENGTHS_PX = (7.0, 16.0)
_SEEDS = (20, 21)
_TO_CHROMA = np.array([[-0.168736, 0.5], [-0.331264, -0.418688], [0.5, -0.081312]], np.float32)
"""(3, 2) RGB to Cb and Cr. Source: ITU-R BT.601, as JFIF 1.02 states it."""
_FROM_CHROMA = np.array([[0.0, -0.344136, 1.772], [1.402, -0.714136, 0.0]], np.float32)
"""(2, 3) Cb and Cr to RGB, brightness unchanged; from the same place."""
_SCALES = (0.94, 0.97, 1.0, 1.03, 1.06)
_TURNS_DEG = (-5.0, -2.5, 0.0, 2.5, 5.0)
_REACH_PX = 5
"""How far the face may be found from where it was, in scale, angle and place."""
_FACE_RADII = (0.42, 0.46)
_NOISE = 0.3  # of 255: what rounding leaves in a plain face


class Watermark:
    """The pattern, in the crops of one bundle.

    Args:
        template: (5, 2) landmarks in the bundle's crop.
        size_px: the crop's side.
    """

    def __init__(self, template: NDArray[np.float64], size_px: int) -> None:
        pattern = _pattern() * np.array(AMPLITUDES, np.float32) @ _FROM_CHROMA
        if size_px != SIDE_PX or not np.allclose(template, TEMPLATE_96, atol=0.01):
            to_pattern = invert(similarity(TEMPLATE_96, template))
            pattern = resample(pattern, to_pattern, (size_px, size_px))
        self._added = pattern

    @property
    def pattern(self) -> NDArray[np.float32]:
        """What is added: (R, R, 3) float32, RGB."""
        return self._added

    def add(self, crop: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the pattern to a swapped crop.

        Args:
            crop: (R, R, 3) float32, RGB, 0..255.

        Returns:
            the same with the pattern; the crop itself where it is gray.
        """
        return crop if is_gray(crop) else crop + self._added


def watermark_for(landmarks_px: Sequence[Sequence[float]], size_px: int) -> Watermark | None:
    """Make the watermark of a bundle; None where its crops are too small for one.

    Args:
        landmarks_px: five (x, y) in the crop, as the manifest's alignment states them.
        size_px: the crop's side.
    """
    if size_px < LEAST_CROP_PX:
        return None
    return Watermark(np.array(landmarks_px, dtype=np.float64), size_px)


def find_watermark(picture: NDArray[np.uint8], face: Face) -> float:
    """Measure how similar a face's colors are to the pattern.

    Args:
        picture: (H, W, 3) uint8, RGB.
        face: where to look; the detector puts it a little beside where it was, so that places,
            scales and angles near by are tried.

    Returns:
        the largest similarity, in standard deviations of a face that has nothing to do with the
        pattern; at least `THRESHOLD` means that it is there.
    """
    crop = warp(picture, similarity(face.landmarks_px, TEMPLATE_96), SIDE_PX)
    chroma = crop.astype(np.float32) @ _TO_CHROMA
    spectrum = np.fft.fft2(chroma, axes=(0, 1)) * _band()[..., None]
    seen = np.fft.ifft2(spectrum, axes=(0, 1)).real * _window()[..., None]
    area = float(_window().sum())
    spread = np.sqrt((seen**2).sum((0, 1)) / area)
    # Single strong edges (lips, glasses) must not decide.
    seen = seen.clip(-2 * spread, 2 * spread)
    spread = np.sqrt((seen**2).sum((0, 1)) / area) + _NOISE
    found = np.fft.rfft2((seen / spread).transpose(2, 0, 1), axes=(1, 2))
    tried = np.fft.irfft2((found * _tries()).sum(1), s=(SIDE_PX, SIDE_PX), axes=(1, 2))
    near = np.r_[0 : _REACH_PX + 1, -_REACH_PX:0]
    return float(tried[:, near[:, None], near].max()) / math.sqrt(2)


@cache
def _pattern() -> NDArray[np.float32]:
    """(96, 96, 2) float32 of mean 0 and standard deviation 1: noise within the band."""
    planes = []
    for seed in _SEEDS:
        noise = np.random.default_rng(seed).standard_normal((SIDE_PX, SIDE_PX))
        plane = np.fft.ifft2(np.fft.fft2(noise) * _band()).real
        planes.append(plane / plane.std())
    return np.stack(planes, axis=-1).astype(np.float32)


@cache
def _band() -> NDArray[np.float64]:
    """(96, 96), 1 at the frequencies that are used."""
    frequency = np.fft.fftfreq(SIDE_PX)
    radius = np.hypot(frequency[:, None], frequency)
    shortest, longest = _WAVELENGTHS_PX
    inside = (radius >= 1 / longest) & (radius <= 1 / shortest)
    return np.asarray(inside, dtype=np.float64)


@cache
def _window() -> NDArray[np.float64]:
    """(96, 96), 1 in the middle of the face, falling to 0 at its rim."""
    y, x = (np.mgrid[0:SIDE_PX, 0:SIDE_PX] - (SIDE_PX - 1) / 2) / SIDE_PX
    radius = np.hypot(x / _FACE_RADII[0], y / _FACE_RADII[1])
    window: NDArray[np.float64] = np.clip((1 - radius) * 4, 0, 1)
    return window


@cache
def _tries() -> NDArray[np.complex128]:
    """(25, 2, 96, 49): spectra of the pattern in every scale and angle, each of norm 1."""
    center = np.full(2, (SIDE_PX - 1) / 2)
    tries = []
    for scale in _SCALES:
        for turn in np.radians(_TURNS_DEG):
            linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            matrix = np.column_stack([linear, center - linear @ center])
            moved = resample(_pattern(), matrix, (SIDE_PX, SIDE_PX)) * _window()[..., None]
            moved /= np.sqrt((moved**2).sum((0, 1)))
            tries.append(np.conj(np.fft.rfft2(moved.transpose(2, 0, 1), axes=(1, 2))))
    return np.stack(tries)
