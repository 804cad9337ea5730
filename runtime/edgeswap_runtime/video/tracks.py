"""Follow faces from frame to frame, so that each person keeps what was decided for them.

A face is matched to the track whose expected landmarks and look are nearest. A track that is out
of sight (covered by somebody who passes) is kept for two seconds, and takes its face back from a
track that began meanwhile, by its look; at a cut all tracks end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.video._track import (
    SAME_PERSON,
    Track,
    away,
    difference,
    face_at,
    follow,
    is_recent,
    look_of,
    reach,
    still_there,
)
from edgeswap_runtime.video.smooth import smooth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from numpy.typing import NDArray

    class DetectNear(Protocol):
        """Finds faces as `Swapper.detect` does."""

        def __call__(
            self, picture: NDArray[np.uint8], near: Sequence[Face], *, everywhere: bool
        ) -> tuple[Face, ...]:
            """Find all faces of a picture, largest first."""


SEARCH_EVERY_S = 0.5
"""How often the whole picture is searched for small faces; between, one look at it is taken."""
LOST_S = 2.0
"""How long a track out of sight is kept."""
_OTHER_LOOK = 0.8  # above which no face matches a track, wherever it is
_LOOK_WEIGHT = 3.0  # spreads of the face that a wholly other look counts for
_CUT = 30.0  # gray levels that two frames differ by on average, across a cut
_GRID_PX = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackedFace:
    """A person's face in one frame.

    Attributes:
        number: of the track.
        place: of the track, by which `--map` names people.
        chosen: whether it is to be swapped.
        face: where it is, with smoothed landmarks.
    """

    number: int
    place: int
    chosen: bool
    face: Face


class FaceTracker:
    """Keeps the tracks of a film.

    Args:
        faces: which faces to swap: "largest", "all" or how many; a track is chosen when it appears,
            the largest first, while fewer than that many chosen ones are alive.
    """

    def __init__(self, faces: str | int) -> None:
        self._most = {"largest": 1, "all": 2**31}.get(str(faces)) or int(faces)
        self._tracks: list[Track] = []
        self._count = 0
        self._grid: NDArray[np.float64] | None = None
        self._searched_s: float | None = None

    @property
    def count(self) -> int:
        """How many tracks there were."""
        return self._count

    def update(
        self, picture: NDArray[np.uint8], faces: Sequence[Face], time_s: float
    ) -> tuple[Face, ...]:
        """Take the faces of one more frame.

        Args:
            picture: (H, W, 3) uint8, RGB.
            faces: all that were found in it, largest first.
            time_s: seconds, later than the last.

        Returns:
            the faces to swap, with smoothed landmarks.
        """
        self._enter(picture, time_s)
        return tuple(one.face for one in self._take(picture, faces, time_s) if one.chosen)

    def find(
        self, picture: NDArray[np.uint8], detect: DetectNear, time_s: float
    ) -> tuple[TrackedFace, ...]:
        """Find the faces of one more frame, for much less than a search of the whole picture.

        Faces that are followed are looked for where they are expected. Others appear at once where
        the shrunk picture shows them, and within `SEARCH_EVERY_S` where they are small.

        Args:
            picture: (H, W, 3) uint8, RGB.
            detect: `Swapper.detect`.
            time_s: seconds, later than the last.

        Returns:
            all faces in sight, those out of the detector's sight for a moment last.
        """
        self._enter(picture, time_s)
        near = [face_at(t, t.expected_px(time_s)) for t in self._tracks if is_recent(t, time_s)]
        last = self._searched_s
        due = last is None or not 0 <= time_s - last < SEARCH_EVERY_S
        if due:
            self._searched_s = time_s
        return self._take(picture, detect(picture, near, everywhere=due), time_s)

    def _enter(self, picture: NDArray[np.uint8], time_s: float) -> None:
        """Forget whom a cut, or time, has put out of sight."""
        if self._is_cut(picture):
            self._tracks, self._searched_s = [], None
        self._tracks = [t for t in self._tracks if time_s - t.smoothed.time_s <= LOST_S]

    def _take(
        self, picture: NDArray[np.uint8], faces: Sequence[Face], time_s: float
    ) -> tuple[TrackedFace, ...]:
        looked = [(face, look_of(picture, face.landmarks_px)) for face in faces]
        seen = [(face, look) for face, look in looked if look is not None]
        matched = self._match(seen, time_s)
        self._take_back(matched, seen, time_s)
        shown, begun = [], []
        for at, (face, look) in enumerate(seen):
            track = matched.get(at)
            if track is None:
                track = self._begin(face, look, time_s)
                begun.append(track)
            else:
                follow(track, face, look, time_s)
            shown.append(track)
        self._give_places(begun)
        held = [t for t in self._tracks if t not in shown and still_there(t, picture, time_s)]
        return (
            *(_tracked(t, t.smoothed.points_px) for t in shown),
            *(_tracked(t, t.expected_px(time_s)) for t in held),
        )

    def _give_places(self, begun: Sequence[Track]) -> None:
        """Give each new track the least free place, from left to right."""
        taken = {track.place for track in self._tracks}
        for track in sorted(begun, key=lambda one: float(one.smoothed.points_px[:, 0].mean())):
            track.place = next(p for p in range(1, len(taken) + 2) if p not in taken)
            taken.add(track.place)

    def to_json(self) -> dict[str, Any]:
        """Everything the next frame depends on, as JSON values."""
        grid = None if self._grid is None else self._grid.tolist()
        return {
            "tracks": [track.to_json() for track in self._tracks],
            "count": self._count,
            "grid": grid,
            "searched_s": self._searched_s,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `to_json` gave."""
        self._tracks = [Track.from_json(track) for track in state["tracks"]]
        self._count = state["count"]
        self._searched_s = state["searched_s"]
        self._grid = None if state["grid"] is None else np.array(state["grid"])

    def _is_cut(self, picture: NDArray[np.uint8]) -> bool:
        image = Image.fromarray(picture)
        small = image.resize((_GRID_PX, _GRID_PX), Image.Resampling.BOX, reducing_gap=1.0)
        last, self._grid = self._grid, np.asarray(small, dtype=np.float64)
        return last is not None and float(np.abs(self._grid - last).mean()) > _CUT

    def _match(
        self, seen: Sequence[tuple[Face, NDArray[np.float64]]], time_s: float
    ) -> dict[int, Track]:
        """Index of a face -> its track; the best pairs first."""
        pairs = []
        for at, (face, look) in enumerate(seen):
            for track in self._tracks:
                spreads = away(track, face, time_s)
                unlike = difference(track.look, look)
                if spreads <= reach(track, time_s) and unlike <= _OTHER_LOOK:
                    pairs.append((spreads + _LOOK_WEIGHT * unlike, at, track.number, track))
        matched: dict[int, Track] = {}
        for _, at, _, track in sorted(pairs, key=lambda pair: pair[:3]):
            if at not in matched and track not in matched.values():
                matched[at] = track
        return matched

    def _take_back(
        self,
        matched: dict[int, Track],
        seen: Sequence[tuple[Face, NDArray[np.float64]]],
        time_s: float,
    ) -> None:
        """Give a face that came back half covered, as a new track, to the track it had before."""
        for at, young in list(matched.items()):
            face, look = seen[at]
            lost = [
                track
                for track in self._tracks
                if track not in matched.values()
                and track.smoothed.time_s < young.born_s
                and difference(track.look, look) <= SAME_PERSON
                and away(track, face, time_s) <= 2 * reach(track, time_s)
            ]
            if lost:
                matched[at] = min(lost, key=lambda track: difference(track.look, look))
                self._tracks.remove(young)

    def _begin(self, face: Face, look: NDArray[np.float64], time_s: float) -> Track:
        self._count += 1
        track = Track(
            number=self._count,
            place=0,
            chosen=sum(other.chosen for other in self._tracks) < self._most,
            smoothed=smooth(None, face.landmarks_px, time_s),
            velocity=np.zeros(2),
            look=look,
            box=face.box,
            score=face.score,
            born_s=time_s,
        )
        self._tracks.append(track)
        return track


def _tracked(track: Track, points: NDArray[np.float64]) -> TrackedFace:
    return TrackedFace(
        number=track.number, place=track.place, chosen=track.chosen, face=face_at(track, points)
    )
