"""Conditions that photographs are put in: other lights, and something before the face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Crops = NDArray[np.uint8]  # (N, R, R, 3) RGB

GAINS: dict[str, tuple[float, float, float]] = {
    "as it is": (1.0, 1.0, 1.0),
    "dim": (0.2, 0.2, 0.2),
    "blue": (0.45, 0.65, 1.0),
    "green": (0.55, 1.0, 0.6),
    "warm": (1.0, 0.7, 0.4),
}
"""Condition -> factors of red, green and blue in linear light."""

BAR = "bar"
"""Condition in which a gray bar stands before one side of the face."""

CONDITIONS = (*GAINS, BAR)

_BAR_GRAY = 90
_BAR_SHARES = (0.56, 0.74)  # of the crop's width: beside the nose, over an eye and a cheek


def in_light(crops: Crops, gains: tuple[float, float, float]) -> Crops:
    """Light crops in another way: factors on linear light, then sRGB again.

    Source: IEC 61966-2-1, the sRGB transfer function.
    """
    values = crops.astype(np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear * np.array(gains), 0.0, 1.0)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    lit: Crops = np.rint(255 * coded).astype(np.uint8)
    return lit


def behind_bar(crops: Crops) -> tuple[Crops, NDArray[np.float64]]:
    """Put a bar before crops; returns them, and where it stands (N, R, R), 1 there."""
    left, right = (round(share * crops.shape[2]) for share in _BAR_SHARES)
    shown, where = np.array(crops), np.zeros(crops.shape[:3])
    shown[:, :, left:right] = _BAR_GRAY
    where[:, :, left:right] = 1.0
    return shown, where


def put_in(condition: str, crops: Crops) -> tuple[Crops, NDArray[np.float64]]:
    """Put crops in a condition; returns them, and what stands before them (N, R, R), 1 there."""
    if condition == BAR:
        return behind_bar(crops)
    return in_light(crops, GAINS[condition]), np.zeros(crops.shape[:3])
