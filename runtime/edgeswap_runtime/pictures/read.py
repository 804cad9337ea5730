"""Read picture files of any common kind as upright 8-bit RGB."""

from __future__ import annotations

import logging
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from edgeswap_runtime.errors import PictureMissing, PictureTooLarge, UnreadablePicture
from edgeswap_runtime.pictures._depth import deep_color, gray_to_8_bit
from edgeswap_runtime.pictures.extras import (
    PictureExtras,
    kept_exif,
    lay_over_white,
    with_extras,
)
from edgeswap_runtime.pictures.formats import open_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 64_000_000
"""Pictures with more pixels are refused from their header, before anything is decoded: 64
megapixels are 192 MB as RGB, and the swap holds a few copies."""

_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RGB_MODES = ("RGB", "RGBA", "RGBX", "P", "PA")
_ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")
# What Pillow's and pillow-heif's decoders raise on damaged files; they document no narrower set.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedPicture:
    """A decoded picture.

    Attributes:
        rgb: (H, W, 3) uint8, upright.
        extras: what the file held besides.
    """

    rgb: NDArray[np.uint8]
    extras: PictureExtras

    @property
    def icc_profile(self) -> bytes | None:
        """The color space its numbers are in, if the file named one for RGB."""
        return self.extras.icc_profile


def read_picture(path: Path | str, *, limit_px: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a picture as upright RGB.

    EXIF orientation is applied; transparency is laid over white; gray, palette, CMYK and 16-bit
    pictures are converted; of animations the first frame counts. 16 bits that hold only 8, 10, 12
    or 14 are scaled by as many as the largest number needs.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF or HEIC (extra `heif`) file; the content
            counts, not the suffix.
        limit_px: most pixels accepted.

    Returns:
        (H, W, 3) uint8, RGB; a numpy array that also carries the file's color profile, camera
        data and alpha, for `Swapper.save` to write again.

    Raises:
        PictureMissing: there is no such file.
        PictureTooLarge: more than `limit_px` pixels.
        UnreadablePicture: empty, cut short, damaged, not a picture, or no file but a folder, pipe,
            device or socket.
    """
    picture = load_picture(path, limit_px=limit_px)
    return with_extras(picture.rgb, picture.extras)


def load_picture(path: Path | str, *, limit_px: int = MAX_PIXELS) -> LoadedPicture:
    """Read a picture as `read_picture` does; return it with its extras."""
    path = Path(path)
    with _open_file(path) as file, warnings.catch_warnings():
        # Pillow warns of each damaged tag; whether the picture is sound shows when it is decoded.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            with open_header(path, file) as image:
                return _decode(path, image, file, limit_px)
        except Image.DecompressionBombError as error:  # some plugins check by themselves
            why = f"it claims more pixels than can be, the limit is {limit_px / 1e6:.1f} megapixels"
            raise UnreadablePicture(path, why) from error
        except _DAMAGE as error:
            if isinstance(error, UnreadablePicture):
                raise
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's failure, not the picture's
            words = " ".join(str(error).split())
            raise UnreadablePicture(path, f"it is damaged or cut short ({words})") from error


def _open_file(path: Path) -> BinaryIO:
    """Open a regular file; refuse a pipe, whose opening would wait for a writer."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise UnreadablePicture(path, "it is a folder, expected a file")
        if not stat.S_ISREG(kind):
            why = "it is a pipe, device or socket, expected a file: save the picture as a file"
            raise UnreadablePicture(path, why)
        return path.open("rb")
    except FileNotFoundError as error:
        raise PictureMissing(path) from error
    except ValueError as error:  # a NUL in the name
        if isinstance(error, UnreadablePicture):
            raise
        raise PictureMissing(repr(str(path))) from error


def _decode(path: Path, image: Image.Image, file: BinaryIO, limit_px: int) -> LoadedPicture:
    width, height = image.size
    if width * height > limit_px:
        raise PictureTooLarge(path, width_px=width, height_px=height, limit_px=limit_px)
    loaded = deep_color(image, lambda: open_header(path, file))
    exif = kept_exif(image)
    profile = image.info.get("icc_profile") if image.mode in _RGB_MODES else None
    rgb, alpha = _to_rgb(_upright(loaded, image, path), path)
    if alpha is None:
        extras = PictureExtras(icc_profile=profile, exif=exif)
        return LoadedPicture(rgb=rgb, extras=extras)
    extras = PictureExtras(icc_profile=profile, exif=exif, alpha=alpha, straight=rgb)
    return LoadedPicture(rgb=lay_over_white(rgb, alpha), extras=extras)


def _upright(image: Image.Image, opened: Image.Image, path: Path) -> Image.Image:
    """Turn a picture upright, as the file's EXIF orientation says."""
    try:
        orientation = opened.getexif().get(_ORIENTATION, 1)
    except _DAMAGE as error:
        _log.warning("%s: EXIF cannot be read (%s), the picture is taken as upright", path, error)
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = image.info
    return turned


def _to_rgb(image: Image.Image, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Convert to RGB (H, W, 3); return alpha (H, W) too if a pixel is not opaque."""
    if image.mode == "F" or (image.mode == "I" and np.asarray(image).max(initial=0) > 0xFFFF):
        why = f"its pixels are 32-bit (mode {image.mode}) of no stated range: save it as 8 bit"
        raise UnreadablePicture(path, why)
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = gray_to_8_bit(image)
    if "transparency" not in image.info and image.mode not in _ALPHA_MODES:
        return np.array(image.convert("RGB")), None
    colored = np.array(image.convert("RGBA"))
    rgb, alpha = np.ascontiguousarray(colored[..., :3]), colored[..., 3].copy()
    return rgb, (None if (alpha == 255).all() else alpha)
