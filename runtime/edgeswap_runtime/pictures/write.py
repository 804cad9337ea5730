"""Writing pictures: every picture that edgeswap writes says what made it, and how.

The one door for all rooms; nothing else calls Pillow's `save`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeswap_runtime.pictures.mark import ALIGNED, DIAGRAM, RENDERED, Mark, software
from edgeswap_runtime.pictures.mark import DIGITAL_SOURCE_TYPE as SWAPPED
from edgeswap_runtime.pictures.picture import encode_picture, require_writable, write_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    AnyPicture = NDArray[np.uint8] | Image.Image

__all__ = [
    "ALIGNED",
    "DIAGRAM",
    "RENDERED",
    "SWAPPED",
    "encode_marked",
    "require_writable",
    "save_marked",
]


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
    """The bytes of such a file, to be put into another one.

    Args:
        picture: (H, W, 3) uint8, RGB, or Pillow's.
        file_format: "PNG", "JPEG" or "WEBP".
        origin: as for `save_marked`.
        quality: 1..100, lossy; JPEG 95 and the others lossless when None.
    """
    mark = Mark(software=software(), digital_source_type=origin)
    return encode_picture(_rgb(picture), file_format, mark, quality=quality)


def _rgb(picture: AnyPicture) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
