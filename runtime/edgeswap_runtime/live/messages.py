"""What the page and the server send each other for every frame.

A frame comes as 12 bytes and a JPEG: its number (uint32, little-endian) and when it was seen
(float64, seconds, rising). The answer is the length of a JSON object (uint32), the object, and a
JPEG, which is missing where nobody was swapped.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.strict_json import JsonError, parse_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEAD = struct.Struct("<Id")
_LENGTH = struct.Struct("<I")
MAX_FRAME_BYTES = 4 << 20
MAX_SIDE_PX = 2048
"""Longest side of a frame; the page shrinks its own to less."""
MAX_PEOPLE = 32
_MAX_TEXT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameMessage:
    """A frame as it came.

    Attributes:
        number: counts up on the page.
        time_s: when it was seen, seconds, rising.
        jpeg: the picture's file.
    """

    number: int
    time_s: float
    jpeg: bytes

    @classmethod
    def parse(cls, data: bytes) -> FrameMessage:
        """Read a message.

        Raises:
            InvalidRequest: it is too short or too long, or the time is no number.
        """
        if not _HEAD.size < len(data) <= MAX_FRAME_BYTES:
            raise InvalidRequest(
                f"a frame of {len(data)} bytes, expected {_HEAD.size + 1} to {MAX_FRAME_BYTES}"
            )
        number, time_s = _HEAD.unpack_from(data)
        if not np.isfinite(time_s):
            raise InvalidRequest(f"a frame at {time_s} s, expected a finite number")
        return cls(number=number, time_s=time_s, jpeg=data[_HEAD.size :])

    def picture(self) -> NDArray[np.uint8]:
        """Decode the picture: (H, W, 3) uint8, RGB.

        Raises:
            InvalidRequest: it is no JPEG, damaged, or too large.
        """
        try:
            with Image.open(io.BytesIO(self.jpeg), formats=("JPEG",)) as image:
                if max(image.size) > MAX_SIDE_PX:
                    raise InvalidRequest(
                        f"a frame of {image.width} x {image.height}, expected {MAX_SIDE_PX} at most"
                    )
                return np.asarray(image.convert("RGB"))
        except InvalidRequest:
            raise
        except (OSError, SyntaxError, ValueError, TypeError, struct.error) as error:
            words = " ".join(str(error).split())[:200]
            raise InvalidRequest(f"a frame is no whole JPEG: {words}") from error


def pack_frame(number: int, time_s: float, jpeg: bytes) -> bytes:
    """The message of a frame, as the page sends it."""
    return _HEAD.pack(number, time_s) + jpeg


def pack_answer(facts: dict[str, Any], jpeg: bytes = b"") -> bytes:
    """The message of an answer."""
    head = json.dumps(facts, separators=(",", ":"), allow_nan=False).encode()
    return _LENGTH.pack(len(head)) + head + jpeg


def unpack_answer(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The facts and the JPEG of an answer."""
    (length,) = _LENGTH.unpack_from(data)
    end = _LENGTH.size + length
    facts: dict[str, Any] = json.loads(data[_LENGTH.size : end])
    return facts, data[end:]


def parse_people(text: str, known: set[str]) -> dict[int, str]:
    """Read who is put where, from `{"people": {"1": "s1"}}`.

    Args:
        text: JSON.
        known: the sources there are; others are left out, as they may just have been removed.

    Raises:
        InvalidRequest: it is something else.
    """
    try:
        told = parse_json(text.encode(errors="surrogatepass"), limit_bytes=_MAX_TEXT)
    except JsonError as error:
        raise InvalidRequest(f"a message is no JSON: {error}") from error
    people = told.get("people") if isinstance(told, dict) else None
    if not isinstance(people, dict) or len(people) > MAX_PEOPLE:
        raise InvalidRequest('expected {"people": {"1": "s1"}}, a source for each place')
    found = {}
    for place, source in people.items():
        if not (place.isascii() and place.isdigit() and len(place) <= 6 and int(place) >= 1):
            raise InvalidRequest(f"a place is {place[:20]!r}, expected a number from 1")
        if not isinstance(source, str):
            raise InvalidRequest(f"place {place} has a source of {type(source).__name__}")
        if source in known:
            found[int(place)] = source
    return found
