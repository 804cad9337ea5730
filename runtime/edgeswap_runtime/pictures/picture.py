"""Reading pictures of any common kind as upright 8-bit RGB, and writing them marked."""

from __future__ import annotations

import importlib
import io
import logging
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, features

from edgeswap_runtime.errors import (
    InvalidRequest,
    OutputExists,
    PictureMissing,
    PictureTooLarge,
    UnreadablePicture,
)
from edgeswap_runtime.files import require_name, write_bytes
from edgeswap_runtime.pictures._depth import deep_color, gray_to_8_bit
from edgeswap_runtime.pictures.extras import (
    PictureExtras,
    kept_exif,
    lay_over_white,
    with_alpha,
    with_extras,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.pictures.mark import Mark

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
        path: a JPEG, PNG, WebP, TIFF, BMP, GIF or PPM file; the content counts, not the suffix.
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


def load_picture(path: Path | str, *, limit_px: int = MAX_PIXELS) -> Picture:
    """As `read_picture`, with what the file held besides the numbers."""
    path = Path(path)
    with _open_file(path) as file, warnings.catch_warnings():
        # Pillow warns of each damaged tag; whether the picture is sound shows when it is decoded.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            with _open_header(path, file) as image:
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
    """Open a regular file; opening a pipe would wait for somebody to write into it."""
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


def _decode(path: Path, image: Image.Image, file: BinaryIO, limit_px: int) -> Picture:
    width, height = image.size
    if width * height > limit_px:
        raise PictureTooLarge(path, width_px=width, height_px=height, limit_px=limit_px)
    loaded = deep_color(image, lambda: _open_header(path, file))
    exif = kept_exif(image)
    profile = image.info.get("icc_profile") if image.mode in _RGB_MODES else None
    rgb, alpha = _to_rgb(_upright(loaded, image, path), path)
    if alpha is None:
        extras = PictureExtras(icc_profile=profile, exif=exif)
        return Picture(rgb=rgb, extras=extras)
    extras = PictureExtras(icc_profile=profile, exif=exif, alpha=alpha, straight=rgb)
    return Picture(rgb=lay_over_white(rgb, alpha), extras=extras)


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Check an output path before any work is done.

    Raises:
        InvalidRequest: the suffix names no format that can be written, the name is too long, or the
            folder is missing.
        OutputExists: the path is taken and `overwrite` is False.
    """
    require_name(path)
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
    extras: PictureExtras | None = None,
    overwrite: bool = False,
) -> None:
    """Write a generated picture, marked as such, whole or not at all.

    PNG and WebP are lossless; JPEG is written at quality 95 without chroma subsampling.

    Args:
        path: ends in .png, .jpg, .jpeg or .webp.
        rgb: (H, W, 3) uint8.
        mark: what the file says about its origin; it lies beside the pixels, not in them.
        icc_profile: the color space of the numbers; that of the extras, or else sRGB, when None.
        extras: of the file that the picture was made from; its alpha, if of the picture's size, is
            written too, but for JPEG, which has none.
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
    profile = extras.icc_profile if icc_profile is None and extras is not None else icc_profile
    data = encode_picture(rgb, name, mark, icc_profile=profile, extras=extras)
    write_bytes(path, data)


def encode_picture(
    rgb: NDArray[np.uint8],
    file_format: str,
    mark: Mark,
    *,
    icc_profile: bytes | None = None,
    extras: PictureExtras | None = None,
    quality: int | None = None,
) -> bytes:
    """The bytes of a marked picture file.

    Args:
        rgb: (H, W, 3) uint8.
        file_format: "PNG", "JPEG" or "WEBP".
        mark: what the file says about its origin.
        icc_profile, extras: as for `write_picture`.
        quality: 1..100 for a JPEG or lossy WebP; JPEG 95 and lossless WebP when None.

    Raises:
        InvalidRequest: no such format.
    """
    exif = None if extras is None else extras.exif
    options: dict[str, Any] = mark.save_options(file_format, exif)
    if icc_profile is not None:
        options["icc_profile"] = icc_profile
    if file_format == "JPEG":
        options |= {"quality": quality or _JPEG_QUALITY, "subsampling": 0}
    elif file_format == "WEBP" and quality is not None:
        options |= {"quality": quality}
    elif file_format == "WEBP":
        options |= {"lossless": True, "quality": 60, "exact": True}
    pixels = np.asarray(rgb)
    if extras is not None and extras.alpha is not None and file_format != "JPEG":
        pixels = with_alpha(pixels, extras) if extras.alpha.shape == pixels.shape[:2] else pixels
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format=file_format, **options)
    return data.getvalue()


_RGB_MODES = ("RGB", "RGBA", "RGBX", "P", "PA")
_ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")


def _open_header(path: Path, file: BinaryIO) -> Image.Image:
    """Read a picture's header alone.

    `Image.open` would complain about large pictures in words of its own, and tries every format
    that any imported plugin registered.
    """
    file.seek(0)
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


def _upright(image: Image.Image, opened: Image.Image, path: Path) -> Image.Image:
    """Turn a picture as the EXIF of the file says it was held."""
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
    """Numbers (H, W, 3), and alpha (H, W) if a pixel is not opaque."""
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
