"""Draw a face's five landmarks, as ControlNets that look at keypoints were trained to see them.

From the nose a limb goes to each other landmark: an ellipse with the two as its ends, in that
landmark's color at 60 % of its brightness. Over them lies a disc on each landmark, in its full
color. At a side of 1024 px limbs are 8 px thick and discs 20 px wide; both follow the side.

Source: the look is that of the hints of InstantID (arXiv 2401.07519); the drawing is our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLORS = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255]], dtype=np.uint8
)
"""(5, 3) RGB of right eye (image left), left eye, nose, right and left mouth corner."""
NOSE = 2
LIMB_SHARE = 0.6
LIMB_HALF_PX, DISC_RADIUS_PX = 4, 10
TRAINED_PX = 1024


def draw_keypoints(landmarks_px: NDArray[np.floating], size_px: int) -> NDArray[np.uint8]:
    """Draw five landmarks on black.

    Args:
        landmarks_px: (5, 2) in the crop's pixels; those outside are drawn as far as they reach in.
        size_px: the crop's side.

    Returns:
        (S, S, 3) uint8, RGB.
    """
    points = np.asarray(landmarks_px, dtype=np.float64)
    picture = np.zeros((size_px, size_px, 3), np.uint8)
    half = max(LIMB_HALF_PX * size_px / TRAINED_PX, 0.5)
    # Not less than half a pixel's diagonal, so that every landmark meets a pixel's center.
    radius = max(DISC_RADIUS_PX * size_px / TRAINED_PX, 0.75)
    for index in (0, 1, 3, 4):
        ends = points[[index, NOSE]]
        part, x, y = _around(ends, half, size_px)
        picture[part][_ellipse(ends[0], ends[1], half, x, y)] = (COLORS[index] * LIMB_SHARE).astype(
            np.uint8
        )
    for point, color in zip(points, COLORS, strict=True):
        part, x, y = _around(point[None], radius, size_px)
        picture[part][np.hypot(x - point[0], y - point[1]) <= radius] = color
    return picture


def keypoints_tensor(landmarks_px: NDArray[np.floating], size_px: int) -> NDArray[np.float32]:
    """Draw five landmarks as a graph takes them.

    Returns:
        (1, 3, S, S) float32, RGB, 0..1.
    """
    drawn = draw_keypoints(landmarks_px, size_px).astype(np.float32) / 255
    return np.ascontiguousarray(drawn.transpose(2, 0, 1)[None])


def _around(
    points: NDArray[np.float64], margin: float, size_px: int
) -> tuple[tuple[slice, slice], NDArray[np.float64], NDArray[np.float64]]:
    """Find the part of a picture that some points and a margin reach.

    Returns:
        its (rows, columns), and the x (1, W) and y (H, 1) of its pixels.
    """
    low = np.clip(np.floor(points.min(0) - margin), 0, size_px).astype(int)
    high = np.clip(np.ceil(points.max(0) + margin) + 1, 0, size_px).astype(int)
    x, y = (np.arange(a, b, dtype=np.float64) for a, b in zip(low, high, strict=True))
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    return part, x[None, :], y[:, None]


def _ellipse(
    end: NDArray[np.float64],
    other: NDArray[np.float64],
    half_width: float,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Where the ellipse is whose long axis goes from one point to the other."""
    center, half = (end + other) / 2, (end - other) / 2
    length = max(float(np.hypot(*half)), 1e-6)
    along = ((x - center[0]) * half[0] + (y - center[1]) * half[1]) / length
    across = ((y - center[1]) * half[0] - (x - center[0]) * half[1]) / length
    inside: NDArray[np.bool_] = (along / length) ** 2 + (across / half_width) ** 2 <= 1
    return inside
