"""Tell a picture's format by its first bytes, and open its header with the one plugin for it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, features

from edgeswap_runtime.errors import UnreadablePicture

if TYPE_CHECKING:
    from pathlib import Path

READABLE: dict[str, str] = {
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "GIF": "PIL.GifImagePlugin",
    "PPM": "PIL.PpmImagePlugin",
}
"""Format -> Pillow's plugin. Only these, AVIF and HEIF are tried: fewer decoders, fewer ways in."""

SUFFIXES = frozenset(
    f".{ending}"
    for ending in "jpg jpeg png webp tif tiff bmp gif ppm pgm avif heic heif hif".split()  # noqa: SIM905
)
"""Endings by which pictures are found in folders."""

_PREFIX_BYTES = 64
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of ITU-T H.273 whose numbers are no sRGB."""


def open_header(path: Path, file: BinaryIO) -> Image.Image:
    """Read a picture's header alone.

    `Image.open` would complain about large pictures in words of its own, and tries every format
    that any imported plugin registered.

    Args:
        path: of the file, for messages.
        file: the opened file; read from its beginning.

    Raises:
        UnreadablePicture: it is empty or of no such format, or its decoder is not installed.
    """
    file.seek(0)
    prefix = file.read(_PREFIX_BYTES)
    file.seek(0)
    if not prefix:
        raise UnreadablePicture(path, "the file is empty")
    brands = _brands(prefix)
    if brands & _AVIF_BRANDS:
        return _open_avif(path, file)
    if brands & _HEIF_BRANDS:
        return _open_heif(path, file)
    for name, plugin in READABLE.items():
        if name == "WEBP" and not features.check("webp"):
            continue
        importlib.import_module(plugin)
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(prefix)
        if accepted and not isinstance(accepted, str):
            return factory(file, str(path))
    raise UnreadablePicture(path, f"its content is none of {', '.join(READABLE)}, AVIF, HEIC")


def _brands(prefix: bytes) -> set[bytes]:
    """The brands of an ISO base media file: its own, and the first compatible ones.

    Source: ISO/IEC 14496-12, 4.3 (file type box).
    """
    if prefix[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    return {prefix[8:12], *(prefix[place : place + 4] for place in range(16, end - 3, 4))}


def _open_avif(path: Path, file: BinaryIO) -> Image.Image:
    if not features.check("avif"):
        why = "it is AVIF, which this Pillow lacks: python -m pip install --upgrade pillow"
        raise UnreadablePicture(path, why)
    importlib.import_module("PIL.AvifImagePlugin")
    return Image.OPEN["AVIF"][0](file, str(path))


def _open_heif(path: Path, file: BinaryIO) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ModuleNotFoundError as error:
        why = "it is HEIC, which needs an extra: python -m pip install 'edgeswap[heif]'"
        raise UnreadablePicture(path, why) from error
    image: Image.Image = HeifImageFile(file, str(path))  # type: ignore[no-untyped-call]
    profile = image.info.get("nclx_profile") or {}
    if (transfer := profile.get("transfer_characteristics")) in _HDR:
        why = f"its light is HDR ({_HDR[transfer]}), expected standard range: save it as JPEG"
        raise UnreadablePicture(path, why)
    return image
