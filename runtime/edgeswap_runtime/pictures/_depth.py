"""Reduce pictures of more than 8 bits by the range that their numbers really use.

Cameras and microscopes store 10, 12 or 14 bits in 16: taken for 16 they would look almost black.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_DEPTHS = (8, 10, 12, 14, 16)
_BITS, _PHOTOMETRIC, _LARGEST = 258, 262, 281  # TIFF tags
_OTHER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
_DARK = 1 << 6  # of the upper byte: below it 14 bits are enough


def gray_to_8_bit(image: Image.Image) -> Image.Image:
    """Scale a 16-bit gray picture to 8 bits by the depth that its largest value needs.

    A depth that a TIFF states is taken where it is below 16. Mode "I", "I;16" or a variant.
    """
    values = np.asarray(image).astype(np.int64).clip(0)
    tags = getattr(image, "tag_v2", {})
    full = _full_scale(int(values.max(initial=0)), _stated(tags))
    if tags.get(_PHOTOMETRIC) == 0 and image.mode.startswith("I;16"):
        values = full - values  # 0 is white, which Pillow heeds in 8 bits only
    return Image.fromarray(_scaled(values, full))


def deep_color(image: Image.Image, again: Callable[[], Image.Image]) -> Image.Image:
    """Load a color picture; scale it up if it has 16 bits a channel and needs fewer.

    Pillow keeps the upper byte of each number alone. Where that is small all over, the picture is
    decoded once more for the lower bytes, by telling Pillow that they come first.

    Args:
        image: just opened, not yet loaded.
        again: opens the same file once more.

    Returns:
        the picture, loaded.
    """
    raw = _raw_mode(image)
    image.load()
    if image.mode not in ("RGB", "RGBA") or raw is None:
        return image
    upper = np.asarray(image)
    if upper[..., :3].max(initial=0) >= _DARK:
        return image
    other = again()
    _set_raw_mode(other, raw[:-3] + _OTHER[raw[-3:]])
    other.load()
    values = upper.astype(np.uint16) << 8 | np.asarray(other)
    bands = [_scaled_by_own(values[..., :3])]
    if image.mode == "RGBA":
        bands.append(_scaled_by_own(values[..., 3:]))
    deeper = Image.fromarray(np.concatenate(bands, axis=-1))
    deeper.info = dict(image.info)
    return deeper


def _stated(tags: Any) -> int | None:
    """Return the largest value that a TIFF's tags state, where that is less than 16 bits."""
    bits = tags.get(_BITS, (16,))
    if isinstance(bits, tuple) and bits and 8 < bits[0] < 16:
        return (1 << int(bits[0])) - 1
    largest = tags.get(_LARGEST)
    largest = largest[0] if isinstance(largest, tuple) and largest else largest
    return int(largest) if isinstance(largest, int) and 255 <= largest < 0xFFFF else None


def _full_scale(largest: int, stated: int | None) -> int:
    if stated is not None and largest <= stated:
        return stated
    return next((1 << bits) - 1 for bits in _DEPTHS if largest < 1 << bits)


def _scaled(values: NDArray[Any], full: int) -> NDArray[np.uint8]:
    return np.rint(values / (full / 255)).clip(0, 255).astype(np.uint8)


def _scaled_by_own(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return _scaled(values, _full_scale(int(values.max(initial=0)), None))


def _raw_mode(image: Image.Image) -> str | None:
    """Return Pillow's raw mode, such as "RGB;16B", if the file has 16 bits a channel."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return None
    arguments = tiles[0][3]
    raw = arguments if isinstance(arguments, str) else arguments[0] if arguments else None
    if not isinstance(raw, str) or raw[-3:] not in _OTHER:
        return None
    return raw if raw.partition(";")[0] in ("RGB", "RGBA", "RGBX", "RGBa") else None


def _set_raw_mode(image: Any, raw: str) -> None:
    image.tile = [
        tile._replace(args=raw if isinstance(tile[3], str) else (raw, *tile[3][1:]))
        for tile in image.tile
    ]
