"""The people who can be put in: read once from a photo each, kept while the server runs."""

from __future__ import annotations

import base64
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest, NoFaceFound
from edgeswap_runtime.identities.convert import identity_file_of
from edgeswap_runtime.pictures.read import read_picture
from edgeswap_runtime.pictures.write import ALIGNED, encode_marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgeswap_runtime._crop_swapper import Identity
    from edgeswap_runtime.swapper import Swapper

MOST_SOURCES = 32
MAX_PHOTO_BYTES = 40_000_000
_THUMB_PX = 112
_THUMB_PER_BOX = 1.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A person who can be put in.

    Attributes:
        key: how the page calls it, such as "s1".
        name: the photo's file name, for people to read.
        identity: what the model needs of the face.
        thumbnail: a JPEG of the face, 112 px; empty where it was read from an identity file.
    """

    key: str
    name: str
    identity: Identity
    thumbnail: bytes

    def to_json(self) -> dict[str, Any]:
        """What the page shows."""
        data = base64.b64encode(self.thumbnail).decode()
        address = f"data:image/jpeg;base64,{data}" if data else "icon.svg"
        return {"key": self.key, "name": self.name, "thumbnail": address}


class SourceShelf:
    """Keeps the sources of a server.

    Args:
        swapper: reads their identity.
    """

    def __init__(self, swapper: Swapper) -> None:
        self._swapper = swapper
        self._lock = threading.Lock()
        self._sources: dict[str, Source] = {}
        self._count = 0

    def __iter__(self) -> Any:
        with self._lock:
            return iter(tuple(self._sources.values()))

    def get(self, key: str) -> Source | None:
        """The source of that name; None without one."""
        with self._lock:
            return self._sources.get(key)

    def add(self, photos: Sequence[Path | NDArray[np.uint8]], name: str) -> Source:
        """Read a person from one or several photos, or a file that `edgeswap identity` wrote.

        Raises:
            NoFaceFound: in one of them.
            InvalidRequest: there are too many sources already.
            UnreadablePicture: a photo is none.
        """
        if len(self._sources) >= MOST_SOURCES:
            raise InvalidRequest(f"{MOST_SOURCES} faces are kept already: remove one first")
        if identity_file_of(photos) is not None:
            identity, thumbnail = self._swapper.identity(photos), b""
        else:
            pictures = [read_picture(p) if isinstance(p, Path) else p for p in photos]
            try:
                identity = self._swapper.identity(pictures)
            except NoFaceFound as error:
                raise NoFaceFound(name) from error
            thumbnail = self._thumbnail(pictures[0])
        with self._lock:
            self._count += 1
            source = Source(
                key=f"s{self._count}", name=name[:80], identity=identity, thumbnail=thumbnail
            )
            self._sources[source.key] = source
        return source

    def add_file(self, data: bytes, name: str) -> Source:
        """Read a person from a photo's bytes, as `add` does."""
        return self.add([picture_from_bytes(data)], name)

    def remove(self, key: str) -> bool:
        """Forget a source; False where there is none of that name."""
        with self._lock:
            return self._sources.pop(key, None) is not None

    def _thumbnail(self, picture: NDArray[np.uint8]) -> bytes:
        (face, *_), _ = self._swapper.choose(picture)
        left, top, right, bottom = face.box
        half = max(right - left, bottom - top) * _THUMB_PER_BOX / 2
        x, y = (left + right) / 2, (top + bottom) / 2
        box = (round(x - half), round(y - half), round(x + half), round(y + half))
        small = Image.fromarray(np.asarray(picture)).crop(box).resize((_THUMB_PX, _THUMB_PX))
        return encode_marked(small, "JPEG", ALIGNED, quality=85)


def picture_from_bytes(data: bytes) -> NDArray[np.uint8]:
    """Read a picture from a file's bytes, as `read_picture` does.

    Raises:
        InvalidRequest: it is empty or too large.
        UnreadablePicture: it is none.
    """
    if not 0 < len(data) <= MAX_PHOTO_BYTES:
        raise InvalidRequest(
            f"a photo of {len(data) / 1e6:.0f} MB, expected at most {MAX_PHOTO_BYTES / 1e6:.0f} MB"
        )
    with tempfile.TemporaryDirectory(prefix="edgeswap-") as folder:
        path = Path(folder) / "the photo"
        path.write_bytes(data)
        return read_picture(path)
