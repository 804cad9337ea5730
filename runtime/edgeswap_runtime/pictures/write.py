"""Write picture files: each says in its metadata what made it, and how.

All rooms write pictures here; nothing else calls Pillow's `save`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest, OutputExists
from edgeswap_runtime.files import require_name, write_bytes
from edgeswap_runtime.pictures.extras import with_alpha
from edgeswap_runtime.pictures.mark import ALIGNED, DIAGRAM, RENDERED, Mark, software
from edgeswap_runtime.pictures.mark import DIGITAL_SOURCE_TYPE as SWAPPED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.pictures.credentials import ContentSigner
    from edgeswap_runtime.pictures.extras import PictureExtras

    AnyPicture = NDArray[np.uint8] | Image.Image

__all__ = [
    "ALIGNED",
    "DIAGRAM",
    "RENDERED",
    "SWAPPED",
    "WRITABLE",
    "encode_marked",
    "encode_picture",
    "require_new_png",
    "require_writable",
    "save_marked",
    "write_picture",
]

WRITABLE: dict[str, tuple[str, int]] = {
    ".png": ("PNG", 2**31 - 1),
    ".jpg": ("JPEG", 65_500),
    ".jpeg": ("JPEG", 65_500),
    ".webp": ("WEBP", 16_383),
}
"""Suffix -> format, and the longest side in pixels that it can hold."""

_JPEG_QUALITY = 95


def save_marked(
    path: Path | str, picture: AnyPicture, origin: str, *, overwrite: bool = False
) -> None:
    """Write a picture file, marked, whole or not at all.

    Args:
        path: ends in .png, .jpg, .jpeg or .webp; see `require_writable`, to be asked before work.
        picture: (H, W, 3) uint8, RGB, or Pillow's.
        origin: `SWAPPED`, `RENDERED`, `DIAGRAM` or `ALIGNED`.
        overwrite: replace an existing file.

    Raises:
        InvalidRequest: no such format or folder.
        OutputExists: the path is taken.
    """
    mark = Mark(software=software(), digital_source_type=origin)
    write_picture(Path(path), _rgb(picture), mark, overwrite=overwrite)


def encode_marked(
    picture: AnyPicture, file_format: str, origin: str, *, quality: int | None = None
) -> bytes:
    """Return the bytes of a marked picture file, to be put into another file.

    Args:
        picture: (H, W, 3) uint8, RGB, or Pillow's.
        file_format: "PNG", "JPEG" or "WEBP".
        origin: as for `save_marked`.
        quality: 1..100, lossy; JPEG 95 and the others lossless when None.
    """
    mark = Mark(software=software(), digital_source_type=origin)
    return encode_picture(_rgb(picture), file_format, mark, quality=quality)


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Check an output path before any work is done.

    Raises:
        InvalidRequest: the suffix names no format that can be written, the name is too long, or the
            folder is missing.
        OutputExists: the path is taken and `overwrite` is False.
    """
    _require_place(path, tuple(WRITABLE))
    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputExists(path, "name another path, or add --overwrite")


def require_new_png(path: Path) -> None:
    """Check the path of a sheet or a diagram, which are PNG files, before any work is done.

    Raises:
        InvalidRequest: not a .png, the name is too long, or its folder is missing.
        OutputExists: the path is taken.
    """
    _require_place(path, (".png",))
    if path.exists():
        raise OutputExists(path)


def _require_place(path: Path, suffixes: tuple[str, ...]) -> None:
    require_name(path)
    if path.suffix.lower() not in suffixes:
        raise InvalidRequest(
            f"cannot write {path}: expected a name ending in {', '.join(suffixes)}"
        )
    if not path.parent.is_dir():
        raise InvalidRequest(
            f"cannot write {path}: there is no folder {path.parent}, make it first"
        )


def write_picture(
    path: Path,
    rgb: NDArray[np.uint8],
    mark: Mark,
    *,
    icc_profile: bytes | None = None,
    extras: PictureExtras | None = None,
    signer: ContentSigner | None = None,
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
        signer: adds signed content credentials that say what the mark says.
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
    write_bytes(path, data if signer is None else signer.sign(data, name, mark))


def encode_picture(
    rgb: NDArray[np.uint8],
    file_format: str,
    mark: Mark,
    *,
    icc_profile: bytes | None = None,
    extras: PictureExtras | None = None,
    quality: int | None = None,
) -> bytes:
    """Encode a picture with its mark as the bytes of a file.

    Args:
        rgb: (H, W, 3) uint8.
        file_format: "PNG", "JPEG" or "WEBP".
        mark: what the file says about its origin.
        icc_profile: as for `write_picture`.
        extras: as for `write_picture`.
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


def _rgb(picture: AnyPicture) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
