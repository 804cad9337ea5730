"""Draw overview.png: source, target and swaps side by side, with the time of each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE_PX, GAP_PX, CAPTION_PX = 256, 12, 34
CLOSEUP = 1.5


def overview(pictures: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Draw one row of squares with captions.

    Args:
        pictures: caption -> (H, W, 3) uint8 RGB; each is cut to its central square.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    width = len(pictures) * (SIDE_PX + GAP_PX) + GAP_PX
    canvas = Image.new("RGB", (width, SIDE_PX + CAPTION_PX + 2 * GAP_PX), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=17)
    for place, (caption, picture) in enumerate(pictures.items()):
        left = GAP_PX + place * (SIDE_PX + GAP_PX)
        canvas.paste(_square(picture), (left, GAP_PX))
        middle = (left + SIDE_PX / 2, GAP_PX + SIDE_PX + CAPTION_PX / 2)
        draw.text(middle, caption, fill="#1c2430", font=font, anchor="mm")
    return np.asarray(canvas)


def closeup(
    picture: NDArray[np.uint8], box: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    """Cut a square around a face, CLOSEUP times its size, or as large as the picture allows.

    Args:
        picture: (H, W, 3) uint8 RGB.
        box: left, top, right, bottom of the face, pixels.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    left, top, right, bottom = box
    height, width = picture.shape[:2]
    side = max(min(round(CLOSEUP * max(right - left, bottom - top)), height, width), 1)
    x = min(max(round((left + right - side) / 2), 0), width - side)
    y = min(max(round((top + bottom - side) / 2), 0), height - side)
    return picture[y : y + side, x : x + side]


def _square(picture: NDArray[np.uint8]) -> Image.Image:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = Image.fromarray(picture[top : top + side, left : left + side])
    return image.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
