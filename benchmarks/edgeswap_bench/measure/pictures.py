"""The pictures that are timed: the packaged portraits or the user's, at any size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.pictures.portraits import packaged_portraits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_GRAY = 128
_LARGEST_SIDE_PX = 16_384


def chosen_paths(source: Path | None, target: Path | None) -> tuple[Path, Path]:
    """The two pictures to time: those given, packaged portraits for the rest.

    Raises:
        InvalidRequest: one is not given and the installation has no two portraits.
    """
    if source is not None and target is not None:
        return source, target
    portraits = packaged_portraits()
    if len(portraits) < 2:
        raise InvalidRequest(
            "this installation has no packaged portraits: give --source PHOTO and --target PHOTO"
        )
    return source or portraits[0], target or portraits[-1]  # source-1 … target-N


def parse_size(text: str) -> tuple[int, int]:
    """Read a size: "1280x720" is 1280 px wide and 720 px high.

    Returns:
        (height, width).

    Raises:
        InvalidRequest: not of that form, or out of range.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    size = (int(match[2]), int(match[1])) if match else (0, 0)
    if not all(32 <= side <= _LARGEST_SIDE_PX for side in size):
        raise InvalidRequest(
            f"size '{text}' is not WIDTHxHEIGHT: expected two sides of 32 to "
            f"{_LARGEST_SIDE_PX} px, as 1280x720"
        )
    return size


def fit(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale a picture, whole and undistorted, into the middle of a gray one of a given size.

    Args:
        picture: (H, W, 3) uint8.
        size: (height, width).
    """
    height, width = size
    scale = min(height / picture.shape[0], width / picture.shape[1])
    inner = (
        max(1, round(picture.shape[1] * scale)),
        max(1, round(picture.shape[0] * scale)),
    )
    canvas = np.full((height, width, 3), _GRAY, dtype=np.uint8)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    scaled = Image.fromarray(picture).resize(inner, Image.Resampling.LANCZOS)
    canvas[top : top + inner[1], left : left + inner[0]] = np.asarray(scaled)
    return canvas
