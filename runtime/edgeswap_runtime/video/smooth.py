"""Smooth landmarks over time: still faces stop trembling, moving ones are followed at once.

Source: Casiez, Roussel, Vogel, "1€ Filter: A simple speed-based low-pass filter for noisy input in
interactive systems", CHI 2012, algorithms 1 and 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLOWEST_HZ = 1.5  # cutoff for a face at rest
_PER_SPEED_HZ = 5.0  # added for a speed of one face spread a second; bounds the lag at 3 % of it
_SPEED_HZ = 1.0  # cutoff for the speed itself


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SmoothLandmarks:
    """Landmarks after smoothing, and what the next step needs.

    Attributes:
        points_px: (5, 2) float64, pixels.
        speed: (5, 2) float64, smoothed, spreads of the face a second.
        time_s: when.
    """

    points_px: NDArray[np.float64]
    speed: NDArray[np.float64]
    time_s: float


def spread_px(points: NDArray[np.float64]) -> float:
    """The root mean square distance of landmarks from their center, pixels; at least a millionth.

    Args:
        points: (5, 2) float64, pixels.
    """
    return max(float(np.sqrt(points.var(axis=0).sum())), 1e-6)


def smooth(
    last: SmoothLandmarks | None, points: NDArray[np.float64], time_s: float
) -> SmoothLandmarks:
    """Smooth one more measurement.

    Args:
        last: from the frame before; None to begin.
        points: (5, 2) float64, pixels.
        time_s: seconds, later than the last.
    """
    if last is None or time_s <= last.time_s:
        return SmoothLandmarks(points_px=points, speed=np.zeros_like(points), time_s=time_s)
    step, size = time_s - last.time_s, spread_px(points)
    speed = last.speed + _share(_SPEED_HZ, step) * (
        (points - last.points_px) / (size * step) - last.speed
    )
    # One cutoff for all points: five of their own would bend the face.
    cutoff = _SLOWEST_HZ + _PER_SPEED_HZ * float(np.hypot(*speed.mean(axis=0)))
    moved = last.points_px + _share(cutoff, step) * (points - last.points_px)
    return SmoothLandmarks(points_px=moved, speed=speed, time_s=time_s)


def _share(cutoff_hz: float, step_s: float) -> float:
    """The weight of the new value in a low-pass filter."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))
