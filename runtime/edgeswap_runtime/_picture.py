"""Reading pictures of any common kind as upright 8-bit RGB, and writing them marked."""

from __future__ import annotations

import importlib
import io
import logging
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, features

from edgeswap_runtime._atomic import write_bytes
from edgeswap_runtime._errors import (
    InvalidRequest,
    OutputExists,
    PictureMissing,
    PictureTooLarge,
    UnreadablePicture,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime._mark import Mark

MAX_PIXELS = 64_000_000
"""Pictures with more pixels are refused from their header, before anything is decoded: 64
megapixels are 192 MB as RGB, and the swap holds a few copies."""

READABLE: dict[str, str] = {
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "GIF": "PIL.GifImagePlugin",
    "PPM": "PIL.PpmImagePlugin",
}
"""Format -> Pillow's plugin. Only these are tried: fewer decoders, fewer ways in."""

WRITABLE: dict[str, tuple[str, int]] = {
    ".png": ("PNG", 2**31 - 1),
    ".jpg": ("JPEG", 65_500),
    ".jpeg": ("JPEG", 65_500),
    ".webp": ("WEBP", 16_383),
}
"""Suffix -> format and the longest side it can hold."""

_JPEG_QUALITY = 95
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
# What Pillow's decoders raise on damaged files; they document no narrower set.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A decoded picture.

    Attributes:
        rgb: (H, W, 3) uint8, upright.
        icc_profile: the colour space its numbers are in, if the file named one for RGB.
    """

    rgb: NDArray[np.uint8]
    icc_profile: bytes | None


def read_picture(path: Path | str, *, limit_px: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a picture as upright RGB.

    EXIF orientation is applied; transparency is laid over white; grey, palette, CMYK and 16-bit
    pictures are converted; of animations the first frame counts.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP, GIF or PPM file; the content counts, not the suffix.
        limit_px: most pixels accepted.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        PictureMissing: there is no such file.
        PictureTooLarge: more than `limit_px` pixels.
        UnreadablePicture: empty, cut short, damaged, or not a picture.
    """
    return load_picture(path, limit_px=limit_px).rgb


def load_picture(path: Path | str, *, limit_px: int = MAX_PIXELS) -> Picture:
    """As `read_picture`, with the colour profile that belongs to the numbers."""
    path = Path(path)
    if path.is_dir():
        raise UnreadablePicture(path, "it is a folder, expected a file")
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise PictureMissing(path) from error
    with file, warnings.catch_warnings():
        # Pillow warns of each damaged tag; whether the picture is sound shows when it is decoded.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            with _open_header(path, file) as image:
                return _decode(path, image, limit_px)
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


def _decode(path: Path, image: Image.Image, limit_px: int) -> Picture:
    width, height = image.size
    if width * height > limit_px:
        raise PictureTooLarge(path, width_px=width, height_px=height, limit_px=limit_px)
    image.load()
    upright = _upright(image, path)
    profile = image.info.get("icc_profile") if image.mode in _RGB_MODES else None
    return Picture(rgb=np.array(_to_rgb(upright, path)), icc_profile=profile)


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Check an output path before any work is done.

    Raises:
        InvalidRequest: the suffix names no format that can be written, or the folder is missing.
        OutputExists: the path is taken and `overwrite` is False.
    """
    if path.suffix.lower() not in WRITABLE:
        raise InvalidRequest(
            f"cannot write {path}: expected a name ending in {', '.join(WRITABLE)}"
        )
    if not path.parent.is_dir():
        raise InvalidRequest(
            f"cannot write {path}: there is no folder {path.parent}, make it first"
        )
    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputExists(path, "name another path, or add --overwrite")


def write_picture(
    path: Path,
    rgb: NDArray[np.uint8],
    mark: Mark,
    *,
    icc_profile: bytes | None = None,
    overwrite: bool = False,
) -> None:
    """Write a generated picture, marked as such, whole or not at all.

    PNG and WebP are lossless; JPEG is written at quality 95 without chroma subsampling.

    Args:
        path: ends in .png, .jpg, .jpeg or .webp.
        rgb: (H, W, 3) uint8.
        mark: what the file says about its origin; it lies beside the pixels, not in them.
        icc_profile: the colour space of the numbers; sRGB when None.
        overwrite: replace an existing file.

    Raises:
        InvalidRequest: no such format, or the picture is too long for it.
        OutputExists: the path is taken.
    """
    require_writable(path, overwrite=overwrite)
    name, longest = WRITABLE[path.suffix.lower()]
    if max(rgb.shape[:2]) > longest:
        raise InvalidRequest(
            f"cannot write {path}: {name} holds at most {longest} pixels a side, the picture is "
            f"{rgb.shape[1]} x {rgb.shape[0]}; use .png"
        )
    options: dict[str, Any] = mark.save_options(name)
    if icc_profile is not None:
        options["icc_profile"] = icc_profile
    if name == "JPEG":
        options |= {"quality": _JPEG_QUALITY, "subsampling": 0}
    elif name == "WEBP":
        options |= {"lossless": True, "quality": 60, "exact": True}
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, format=name, **options)
    write_bytes(path, data.getvalue())


_RGB_MODES = ("RGB", "RGBA", "RGBX", "P", "PA")


def _open_header(path: Path, file: BinaryIO) -> Image.Image:
    """Read a picture's header alone.

    `Image.open` would complain about large pictures in words of its own, and tries every format
    that any imported plugin registered.
    """
    prefix = file.read(16)
    if not prefix:
        raise UnreadablePicture(path, "the file is empty")
    for name, plugin in READABLE.items():
        if name == "WEBP" and not features.check("webp"):
            continue
        importlib.import_module(plugin)
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(prefix)
        if accepted and not isinstance(accepted, str):
            file.seek(0)
            return factory(file, str(path))
    raise UnreadablePicture(path, f"its content is none of {', '.join(READABLE)}")


def _upright(image: Image.Image, path: Path) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _DAMAGE as error:
        _log.warning("%s: EXIF cannot be read (%s), the picture is taken as upright", path, error)
        return image
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode == "F" or (image.mode == "I" and np.asarray(image).max(initial=0) > 0xFFFF):
        why = f"its pixels are 32-bit (mode {image.mode}) of no stated range: save it as 8 bit"
        raise UnreadablePicture(path, why)
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.rint(grey / 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")
