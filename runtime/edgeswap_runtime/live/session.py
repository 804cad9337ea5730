"""One page's pictures: whom it sees, who is put where, and how long each stage takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime._clock import StageClock
from edgeswap_runtime.errors import EdgeswapError, NoFaceFound
from edgeswap_runtime.live.messages import FrameMessage, pack_answer, parse_people
from edgeswap_runtime.pictures.extras import extras_of
from edgeswap_runtime.pictures.write import encode_picture
from edgeswap_runtime.video.cast import Cast
from edgeswap_runtime.video.tracks import FaceTracker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.live.shelf import SourceShelf
    from edgeswap_runtime.swapper import Swapper
    from edgeswap_runtime.video.tracks import TrackedFace

JPEG_QUALITY = 90
STAGES = ("read", "find", "align", "encode", "denoise", "decode", "paste", "write")
"""What the time of a frame is made of, in order."""


class LiveSession:
    """Swaps the frames of one camera, one after the other.

    Args:
        swapper: does the work; it may be shared.
        shelf: the sources.
    """

    def __init__(self, swapper: Swapper, shelf: SourceShelf) -> None:
        self._swapper, self._shelf = swapper, shelf
        self._people: dict[int, str] = {}
        self._tracker = FaceTracker("all")
        self._last_s: float | None = None

    @property
    def people(self) -> dict[int, str]:
        """Place -> source."""
        return dict(self._people)

    def tell(self, text: str) -> None:
        """Take a message about who is put where; see `parse_people`."""
        self.put(parse_people(text, {source.key for source in self._shelf}))

    def put(self, people: dict[int, str]) -> None:
        """Say who is put where: place -> source."""
        self._people = dict(people)

    def answer(self, data: bytes) -> bytes:
        """Swap a frame, and pack the answer; a frame that cannot be read is answered with why."""
        start = time.perf_counter_ns()
        clock = StageClock()
        number = 0
        try:
            message = FrameMessage.parse(data)
            number = message.number
            with clock.stage("read"):
                picture = message.picture()
            after, faces = self.swap(picture, message.time_s, clock)
        except EdgeswapError as error:
            return pack_answer({"number": number, "error": str(error)})
        jpeg = b""
        if after is not None:
            with clock.stage("write"):
                jpeg = encode_picture(after, "JPEG", self._swapper.mark, quality=JPEG_QUALITY)
        spent = clock.lap()
        facts = {
            "number": number,
            "size": [picture.shape[1], picture.shape[0]],
            "faces": [self._face_to_json(one, picture.shape) for one in faces],
            "ms": {name: round(spent.get(name, 0) / 1e6, 3) for name in STAGES},
            "total_ms": round((time.perf_counter_ns() - start) / 1e6, 3),
        }
        return pack_answer(facts, jpeg)

    def swap(
        self, picture: NDArray[np.uint8], time_s: float, clock: StageClock
    ) -> tuple[NDArray[np.uint8] | None, tuple[TrackedFace, ...]]:
        """Swap one picture.

        Args:
            picture: (H, W, 3) uint8, RGB.
            time_s: seconds; where it does not rise, people are counted anew.
            clock: times the stages.

        Returns:
            (H, W, 3) uint8, RGB, or None where nobody is swapped; and all faces in sight.
        """
        if self._last_s is not None and time_s <= self._last_s:
            self._tracker = FaceTracker("all")
        self._last_s = time_s
        with clock.stage("find"):
            found = self._tracker.find(picture, self._swapper.detect, time_s)
        sources = {place: self._shelf.get(key) for place, key in self._people.items()}
        known = {place: one.identity for place, one in sources.items() if one is not None}
        cast = Cast(self._swapper, None, known)
        return cast.swap(picture, cast.choose(found), clock), found

    def _face_to_json(self, one: TrackedFace, shape: tuple[int, ...]) -> dict[str, Any]:
        height, width = shape[:2]
        left, top, right, bottom = one.face.box
        box = (left / width, top / height, right / width, bottom / height)
        return {
            "place": one.place,
            "box": [round(value, 4) for value in box],
            "source": self._people.get(one.place),
        }


def swap_photo(
    swapper: Swapper, shelf: SourceShelf, picture: NDArray[np.uint8], people: list[dict[str, Any]]
) -> bytes:
    """Swap a photo at its full size.

    Args:
        swapper: does the swaps.
        shelf: the sources.
        picture: (H, W, 3) uint8, RGB, from `read_picture`.
        people: for each person {"at": [x, y], "source": key}; the center of the face as a share of
            the photo's width and height.

    Returns:
        the bytes of a PNG, marked as generated.

    Raises:
        NoFaceFound: there is no face.
    """
    faces = list(swapper.detect(picture))
    size = np.array([picture.shape[1], picture.shape[0]])
    after: NDArray[np.uint8] | None = None
    for one in people:
        source = shelf.get(one["source"])
        if source is None or not faces:
            continue
        there = np.array(one["at"]) * size
        centers = [np.array(face.box).reshape(2, 2).mean(0) for face in faces]
        nearest = faces.pop(int(np.argmin([np.hypot(*(c - there)) for c in centers])))
        before = picture if after is None else after
        after = swapper.swap(before, source.identity, faces=[nearest])
    if after is None:
        raise NoFaceFound("the photo")
    extras = extras_of(picture)
    profile = None if extras is None else extras.icc_profile
    return encode_picture(after, "PNG", swapper.mark, icc_profile=profile, extras=extras)
