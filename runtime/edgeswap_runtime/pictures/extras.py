"""Carry a picture's color profile, EXIF and alpha along with its RGB array."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, TiffImagePlugin

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ORIENTATION = 0x0112
_EXIF_FOLDER = 0x8769
_KEPT = {
    0x010F, 0x0110,  # make and model of the camera
    0x011A, 0x011B, 0x0128,  # pixels per inch
    0x0132,  # date
    0x8298,  # copyright
}  # fmt: skip
_KEPT_IN_FOLDER = {
    0x829A, 0x829D, 0x8822, 0x8827, 0x9204, 0x9207, 0x9209, 0x920A, 0xA402, 0xA403, 0xA405,
    # exposure time, aperture, program, ISO, bias, metering, flash, focal length, ...
    0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292,  # dates and time zones
    0xA001,  # color space
    0xA432, 0xA433, 0xA434,  # make and model of the lens
}  # fmt: skip
_LONGEST = 200
# What Pillow raises on damaged EXIF; it documents no narrower set.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureExtras:
    """What a picture file held besides its RGB numbers.

    Attributes:
        icc_profile: the color space of the numbers, if the file named one for RGB.
        exif: camera, lens, exposure, dates and copyright, as EXIF bytes; where it was taken, serial
            numbers, names, comments and the thumbnail are left out.
        alpha: (H, W) uint8, if a pixel is not opaque.
        straight: (H, W, 3) uint8, RGB before it was laid over white, where there is an alpha.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    alpha: NDArray[np.uint8] | None = None
    straight: NDArray[np.uint8] | None = None


class PictureArray(np.ndarray[Any, np.dtype[np.uint8]]):
    """An RGB array that carries the extras of the picture file it came from.

    It is an array like any other; what is cut out of it or copied from it knows them too.
    """

    extras: PictureExtras | None = None

    def __array_finalize__(self, origin: object) -> None:
        self.extras = getattr(origin, "extras", None)


def with_extras(rgb: NDArray[np.uint8], extras: PictureExtras | None) -> NDArray[np.uint8]:
    """Return a view of the array that carries the extras; the array itself without any."""
    if extras is None:
        return rgb
    carrying = rgb.view(PictureArray)
    carrying.extras = extras
    return carrying


def extras_of(picture: object) -> PictureExtras | None:
    """Return the extras that an array carries, or None."""
    return picture.extras if isinstance(picture, PictureArray) else None


def kept_exif(image: Image.Image) -> bytes | None:
    """Return the EXIF that is kept: camera, lens, exposure, dates, copyright; None without any."""
    try:
        found = image.getexif()
        folder = found.get_ifd(_EXIF_FOLDER)
    except _DAMAGE as error:
        _log.warning("EXIF cannot be read (%s) and is left out", error)
        return None
    kept = Image.Exif()
    for tag in sorted(_KEPT & set(found)):
        if (value := _plain(found[tag])) is not None:
            kept[tag] = value
    inner = {tag: _plain(folder[tag]) for tag in sorted(_KEPT_IN_FOLDER & set(folder))}
    inner = {tag: value for tag, value in inner.items() if value is not None}
    if inner:
        kept[_EXIF_FOLDER] = inner
    if _ORIENTATION in found:
        kept[_ORIENTATION] = 1  # the array is upright
    if not len(kept):
        return None
    try:
        return kept.tobytes()
    except (*_DAMAGE, struct.error) as error:
        _log.warning("EXIF cannot be kept (%s) and is left out", error)
        return None


def lay_over_white(straight: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a picture with alpha over white: (H, W, 3) uint8."""
    colored = Image.fromarray(np.dstack([straight, alpha]))
    white = Image.new("RGBA", colored.size, "white")
    return np.array(Image.alpha_composite(white, colored).convert("RGB"))


def with_alpha(rgb: NDArray[np.uint8], extras: PictureExtras) -> NDArray[np.uint8]:
    """Give a picture that was laid over white its transparency back.

    Args:
        rgb: (H, W, 3) uint8, changed or not since it was read.
        extras: of the file it was read from, with alpha.

    Returns:
        (H, W, 4) uint8; pixels that were not changed have the file's own numbers.
    """
    alpha, straight = extras.alpha, extras.straight
    assert alpha is not None and straight is not None  # noqa: S101 what the caller looked at
    changed = (rgb != lay_over_white(straight, alpha)).any(-1) & (alpha > 0)
    share = np.maximum(alpha[changed], 1)[:, None] / np.float32(255)
    numbers = straight.copy()
    numbers[changed] = np.rint((rgb[changed] - 255 * (1 - share)) / share).clip(0, 255)
    return np.dstack([numbers, alpha])


def _plain(value: Any) -> Any:
    """Return a value that can be written again; None for others, and for very long ones."""
    if isinstance(value, str | bytes):
        return value if len(value) <= _LONGEST else None
    if isinstance(value, tuple):
        plain = tuple(map(_plain, value))
        return plain if len(plain) <= 8 and None not in plain else None
    if isinstance(value, TiffImagePlugin.IFDRational):
        return value if value.denominator else None
    return value if isinstance(value, int | float) else None
