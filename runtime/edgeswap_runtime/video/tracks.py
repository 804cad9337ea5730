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

from edgeswap_runtime.errors import DegenerateLandmarks
from edgeswap_runtime.faces.align import TEMPLATE_96, similarity, warp
from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.video.smooth import SmoothLandmarks, smooth, spread_px

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
HOLD_S = 0.2
"""How long a face that the detector misses is still swapped, if it looks the same."""
_LOOK_PX = 16
_LOOK_TEMPLATE = TEMPLATE_96 * (_LOOK_PX / 96)
_SAME_LOOK = 0.3  # 1 - correlation, below which a face out of the detector's sight is still there
_SAME_PERSON = 0.15  # below which a face that appears is the one that was lost
_OTHER_LOOK = 0.8  # above which no face matches a track, wherever it is
_NEAR = 2.0  # spreads of the face that a match may lie away from what is expected
_COAST_S = 1.0  # how long a lost face is expected to move on
_NEAR_PER_S = 4.0  # and how much more for each second out of sight
_LOOK_WEIGHT = 3.0  # spreads of the face that a wholly other look counts for
_STEER = 0.3  # share of the newest velocity
_LEARN = 0.1  # share of the newest look, unless somebody covers it
_CUT = 30.0  # gray levels that two frames differ by on average, across a cut
_GRID_PX = 16


@dataclass(slots=True, kw_only=True, eq=False)
class Track:
    """One person's face over time.

    Attributes:
        number: from 1, in order of appearance.
        place: from 1, left to right among those who appear together; the least that nobody has.
        chosen: whether this face is swapped; decided when it appears.
        smoothed: its landmarks in the last frame in which it was seen.
        velocity: (2,) float64, pixels a second, of its center.
        look: (16, 16, 3) float64, what it looks like, aligned.
        box: the detector's, when last seen, pixels: left, top, right, bottom.
        score: the detector's, when last seen.
        born_s: when it appeared.
    """

    number: int
    place: int
    chosen: bool
    smoothed: SmoothLandmarks
    velocity: NDArray[np.float64]
    look: NDArray[np.float64]
    box: tuple[float, float, float, float]
    score: float
    born_s: float

    def expected_px(self, time_s: float) -> NDArray[np.float64]:
        """Where its landmarks should be: (5, 2) float64, pixels."""
        gap = min(time_s - self.smoothed.time_s, _COAST_S)
        return self.smoothed.points_px + self.velocity * gap

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values, exactly."""
        return {
            "number": self.number,
            "place": self.place,
            "chosen": self.chosen,
            "points_px": self.smoothed.points_px.tolist(),
            "speed": self.smoothed.speed.tolist(),
            "time_s": self.smoothed.time_s,
            "velocity": self.velocity.tolist(),
            "look": self.look.tolist(),
            "box": list(self.box),
            "score": self.score,
            "born_s": self.born_s,
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Track:
        """The track that `to_json` wrote."""
        return cls(
            number=state["number"],
            place=state["place"],
            chosen=state["chosen"],
            smoothed=SmoothLandmarks(
                points_px=np.array(state["points_px"]),
                speed=np.array(state["speed"]),
                time_s=state["time_s"],
            ),
            velocity=np.array(state["velocity"]),
            look=np.array(state["look"]),
            box=tuple(state["box"]),
            score=state["score"],
            born_s=state["born_s"],
        )


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
        near = [_face(t, t.expected_px(time_s)) for t in self._tracks if _is_recent(t, time_s)]
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
        looked = [(face, _look(picture, face.landmarks_px)) for face in faces]
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
                _follow(track, face, look, time_s)
            shown.append(track)
        self._give_places(begun)
        held = [t for t in self._tracks if t not in shown and _still_there(t, picture, time_s)]
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
                away = _away(track, face, time_s)
                unlike = _difference(track.look, look)
                if away <= _reach(track, time_s) and unlike <= _OTHER_LOOK:
                    pairs.append((away + _LOOK_WEIGHT * unlike, at, track.number, track))
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
                and _difference(track.look, look) <= _SAME_PERSON
                and _away(track, face, time_s) <= 2 * _reach(track, time_s)
            ]
            if lost:
                matched[at] = min(lost, key=lambda track: _difference(track.look, look))
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


def _away(track: Track, face: Face, time_s: float) -> float:
    """How far a face lies from where a track expects it, in spreads of the face."""
    apart = np.hypot(*(face.landmarks_px - track.expected_px(time_s)).T).mean()
    return float(apart) / spread_px(track.smoothed.points_px)


def _reach(track: Track, time_s: float) -> float:
    """How far that may be."""
    return _NEAR + _NEAR_PER_S * (time_s - track.smoothed.time_s)


def _follow(track: Track, face: Face, look: NDArray[np.float64], time_s: float) -> None:
    """Move a track to where its face is now."""
    before = track.smoothed
    step = time_s - before.time_s
    # Smoothing across a gap would drag the face behind.
    track.smoothed = smooth(before if step <= HOLD_S else None, face.landmarks_px, time_s)
    unlike = _difference(track.look, look)
    if step > 0 and unlike <= _SAME_PERSON:  # landmarks of a half covered face are drawn aside
        moved = (track.smoothed.points_px - before.points_px).mean(axis=0) / step
        track.velocity += _STEER * (moved - track.velocity)
    if unlike <= _SAME_LOOK:
        track.look = (1 - _LEARN) * track.look + _LEARN * look
    track.box, track.score = face.box, face.score


def _is_recent(track: Track, time_s: float) -> bool:
    return time_s - track.smoothed.time_s <= HOLD_S


def _still_there(track: Track, picture: NDArray[np.uint8], time_s: float) -> bool:
    """Tell whether a face that the detector misses is still to be seen where it should be."""
    if not _is_recent(track, time_s):
        return False
    points = track.expected_px(time_s)
    height, width = picture.shape[:2]
    if (points < 0).any() or (points >= (width, height)).any():
        return False
    look = _look(picture, points)
    return look is not None and _difference(track.look, look) <= _SAME_LOOK


def _look(picture: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A tiny aligned crop, of mean 0 and length 1; None where landmarks define no crop."""
    try:
        matrix = similarity(points, _LOOK_TEMPLATE)
    except DegenerateLandmarks:
        return None
    values = warp(picture, matrix, _LOOK_PX).astype(np.float64)
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1.0)


def _difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """1 - correlation of two looks: 0 the same, 1 unlike."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1 - float((one * other).sum()) / max(lengths, 1e-12)


def _tracked(track: Track, points: NDArray[np.float64]) -> TrackedFace:
    return TrackedFace(
        number=track.number, place=track.place, chosen=track.chosen, face=_face(track, points)
    )


def _face(track: Track, points: NDArray[np.float64]) -> Face:
    across, down = (points - track.smoothed.points_px).mean(axis=0).tolist()
    left, top, right, bottom = track.box
    box = (left + across, top + down, right + across, bottom + down)
    return Face(box=box, landmarks_px=points, score=track.score)
