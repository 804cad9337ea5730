"""One person's face over time: where it should be next, and whether a face found is it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime.errors import DegenerateLandmarks
from edgeswap_runtime.faces.align import TEMPLATE_96, similarity, warp
from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.video.smooth import SmoothLandmarks, smooth, spread_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOLD_S = 0.2
"""How long a face that the detector misses is still swapped, if it looks the same."""
_LOOK_PX = 16
_LOOK_TEMPLATE = TEMPLATE_96 * (_LOOK_PX / 96)
_SAME_LOOK = 0.3  # 1 - correlation, below which a face out of the detector's sight is still there
SAME_PERSON = 0.15  # below which a face that appears is the one that was lost
_NEAR = 2.0  # spreads of the face that a match may lie away from what is expected
_COAST_S = 1.0  # how long a lost face is expected to move on
_NEAR_PER_S = 4.0  # and how much more for each second out of sight
_STEER = 0.3  # share of the newest velocity
_LEARN = 0.1  # share of the newest look, unless somebody covers it


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


def away(track: Track, face: Face, time_s: float) -> float:
    """How far a face lies from where a track expects it, in spreads of the face."""
    apart = np.hypot(*(face.landmarks_px - track.expected_px(time_s)).T).mean()
    return float(apart) / spread_px(track.smoothed.points_px)


def reach(track: Track, time_s: float) -> float:
    """How far that may be."""
    return _NEAR + _NEAR_PER_S * (time_s - track.smoothed.time_s)


def follow(track: Track, face: Face, look: NDArray[np.float64], time_s: float) -> None:
    """Move a track to where its face is now."""
    before = track.smoothed
    step = time_s - before.time_s
    # Smoothing across a gap would drag the face behind.
    track.smoothed = smooth(before if step <= HOLD_S else None, face.landmarks_px, time_s)
    unlike = difference(track.look, look)
    if step > 0 and unlike <= SAME_PERSON:  # landmarks of a half covered face are drawn aside
        moved = (track.smoothed.points_px - before.points_px).mean(axis=0) / step
        track.velocity += _STEER * (moved - track.velocity)
    if unlike <= _SAME_LOOK:
        track.look = (1 - _LEARN) * track.look + _LEARN * look
    track.box, track.score = face.box, face.score


def is_recent(track: Track, time_s: float) -> bool:
    return time_s - track.smoothed.time_s <= HOLD_S


def still_there(track: Track, picture: NDArray[np.uint8], time_s: float) -> bool:
    """Tell whether a face that the detector misses is still to be seen where it should be."""
    if not is_recent(track, time_s):
        return False
    points = track.expected_px(time_s)
    height, width = picture.shape[:2]
    if (points < 0).any() or (points >= (width, height)).any():
        return False
    look = look_of(picture, points)
    return look is not None and difference(track.look, look) <= _SAME_LOOK


def look_of(picture: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A tiny aligned crop, of mean 0 and length 1; None where landmarks define no crop."""
    try:
        matrix = similarity(points, _LOOK_TEMPLATE)
    except DegenerateLandmarks:
        return None
    values = warp(picture, matrix, _LOOK_PX).astype(np.float64)
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1.0)


def difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """1 - correlation of two looks: 0 the same, 1 unlike."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1 - float((one * other).sum()) / max(lengths, 1e-12)


def face_at(track: Track, points: NDArray[np.float64]) -> Face:
    across, down = (points - track.smoothed.points_px).mean(axis=0).tolist()
    left, top, right, bottom = track.box
    box = (left + across, top + down, right + across, bottom + down)
    return Face(box=box, landmarks_px=points, score=track.score)
