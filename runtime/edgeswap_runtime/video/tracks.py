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

    from numpy.typing import NDArray

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
        chosen: whether this face is swapped; decided when it appears.
        smoothed: its landmarks in the last frame in which it was seen.
        velocity: (2,) float64, pixels a second, of its center.
        look: (16, 16, 3) float64, what it looks like, aligned.
        score: the detector's, when last seen.
        born_s: when it appeared.
    """

    number: int
    chosen: bool
    smoothed: SmoothLandmarks
    velocity: NDArray[np.float64]
    look: NDArray[np.float64]
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
            "chosen": self.chosen,
            "points_px": self.smoothed.points_px.tolist(),
            "speed": self.smoothed.speed.tolist(),
            "time_s": self.smoothed.time_s,
            "velocity": self.velocity.tolist(),
            "look": self.look.tolist(),
            "score": self.score,
            "born_s": self.born_s,
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Track:
        """The track that `to_json` wrote."""
        return cls(
            number=state["number"],
            chosen=state["chosen"],
            smoothed=SmoothLandmarks(
                points_px=np.array(state["points_px"]),
                speed=np.array(state["speed"]),
                time_s=state["time_s"],
            ),
            velocity=np.array(state["velocity"]),
            look=np.array(state["look"]),
            score=state["score"],
            born_s=state["born_s"],
        )


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
        if self._is_cut(picture):
            self._tracks = []
        self._tracks = [t for t in self._tracks if time_s - t.smoothed.time_s <= LOST_S]
        looked = [(face, _look(picture, face.landmarks_px)) for face in faces]
        seen = [(face, look) for face, look in looked if look is not None]
        matched = self._match(seen, time_s)
        self._take_back(matched, seen, time_s)
        shown = []
        for at, (face, look) in enumerate(seen):
            track = matched.get(at)
            if track is None:
                track = self._begin(face, look, time_s)
            else:
                _follow(track, face, look, time_s)
            shown.append(track)
        held = [t for t in self._tracks if t not in shown and _still_there(t, picture, time_s)]
        return (
            *(_face(t, t.smoothed.points_px) for t in shown if t.chosen),
            *(_face(t, t.expected_px(time_s)) for t in held if t.chosen),
        )

    def to_json(self) -> dict[str, Any]:
        """Everything the next frame depends on, as JSON values."""
        grid = None if self._grid is None else self._grid.tolist()
        return {
            "tracks": [track.to_json() for track in self._tracks],
            "count": self._count,
            "grid": grid,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `to_json` gave."""
        self._tracks = [Track.from_json(track) for track in state["tracks"]]
        self._count = state["count"]
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
            chosen=sum(other.chosen for other in self._tracks) < self._most,
            smoothed=smooth(None, face.landmarks_px, time_s),
            velocity=np.zeros(2),
            look=look,
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
    track.score = face.score


def _still_there(track: Track, picture: NDArray[np.uint8], time_s: float) -> bool:
    """Tell whether a face that the detector misses is still to be seen where it should be."""
    if time_s - track.smoothed.time_s > HOLD_S:
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


def _face(track: Track, points: NDArray[np.float64]) -> Face:
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Face(box=(left, top, right, bottom), landmarks_px=points, score=track.score)
