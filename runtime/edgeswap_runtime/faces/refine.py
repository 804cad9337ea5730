"""Refine a face's landmarks: look at it again, closer, and the right way up.

Measured with YuNet on one 90 px wide face (scikit-image's astronaut): looked at in passing,
landmarks are off by 2 px on average and jump by 1.2 px when the picture is shifted; in a view of
its own by 1.4 and 0.8 px.

YuNet also finds heads that lie on their side or stand on their head, but with scores below 0.9
(upright: 0.94 to 0.96), and it puts upright landmarks on them. `benchmarks/studies/turned.py`
measures what `turn_upright` makes of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime.faces.detect import DETECT_PX
from edgeswap_runtime.faces.look import eye_line_deg, look_at, overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.faces.detect import Face, RunDetector

SURE_SCORE = 0.93
"""From this score on a face is upright: the lowest of upright portraits is above it."""
LEVEL_DEG = 10.0
"""Eye lines as level as this need no further look."""
_SAME_FACE = 0.5
_SAME_PLACE = 0.3
CLOSE_ENOUGH_PX = 200
_QUARTERS = (90.0, 180.0, 270.0)
_BETWEEN = (45.0, 135.0, 225.0, 315.0)
LEVEL_VIEWS = (
    (1.1, (0.0, 0.0)),
    (1.2, (0.05, 0.0)),
    (1.25, (-0.05, 0.05)),
    (1.3, (0.0, -0.05)),
    (1.4, (0.05, 0.05)),
    (1.5, (-0.05, 0.0)),
)
"""Views of a leveled face: side per box, and shift. The landmarks of one view alone are off by 3 to
5 % of the eye distance, differently in each, depending on how the face lies on the detector's grid.
"""


def refine_face(
    picture: NDArray[np.uint8],
    face: Face,
    run: RunDetector,
    *,
    canvas: tuple[int, int] | None = None,
) -> Face:
    """Detect a face again in a square view 1.2 times its box.

    Args:
        picture: (H, W, 3) uint8, RGB.
        face: from `detect_faces`.
        run: the detector graph, as there.
        canvas: (height, width) the graph is fixed to, as there.

    Returns:
        the face of the view that overlaps the given one most, in picture coordinates; the given
        one when the first look saw it 200 px large or more, or when none overlaps it by half (it
        may be too blurred, or turned away, to be seen large).
    """
    box_px = _box_px(face)
    if box_px * min(1.0, DETECT_PX / max(picture.shape)) >= CLOSE_ENOUGH_PX:
        return face
    best, best_overlap = face, _SAME_FACE
    for seen in look_at(picture, face, run, canvas=canvas):
        shared = overlap(seen, face)
        if shared >= best_overlap:
            best, best_overlap = seen, shared
    return best


def look_again(
    picture: NDArray[np.uint8],
    face: Face,
    run: RunDetector,
    *,
    canvas: tuple[int, int] | None = None,
) -> Face | None:
    """Detect a face of the film's last frame again, in one view around the place it is expected at.

    The view is turned as the face is, so that turned heads need no search for their turn.

    Args:
        picture: (H, W, 3) uint8, RGB.
        face: where it is expected; upright landmarks.
        run: the detector graph, as for `detect_faces`.
        canvas: (height, width) the graph is fixed to, as there.

    Returns:
        the surest face whose center lies near, in picture coordinates; None without one.
    """
    turn = eye_line_deg(face)
    if abs(turn) <= LEVEL_DEG:
        turn = 0.0
    return _best_there(picture, face, run, turn_deg=turn, canvas=canvas)


def needs_no_look(picture: NDArray[np.uint8], face: Face) -> bool:
    """True for an upright face that the first look saw large enough for its landmarks."""
    near = _box_px(face) * min(1.0, DETECT_PX / max(picture.shape)) >= CLOSE_ENOUGH_PX
    return near and face.score >= SURE_SCORE and abs(eye_line_deg(face)) <= LEVEL_DEG


def turn_upright(
    picture: NDArray[np.uint8],
    face: Face,
    run: RunDetector,
    *,
    canvas: tuple[int, int] | None = None,
) -> Face:
    """Find the landmarks of a head that may be turned in the picture's plane, by any angle.

    A face the detector is not sure of is looked at in the three other quarter turns, then in the
    four between where it is still not sure, and the turn with the best score is kept. Then it is
    looked at with its eye line level, several times, and the landmarks of these looks are averaged.
    At most 14 views of 320 px; none for a sure face whose eyes are level.

    Args:
        picture: (H, W, 3) uint8, RGB.
        face: from `detect_faces` or `refine_face`.
        run: the detector graph, as there.
        canvas: (height, width) the graph is fixed to, as there.

    Returns:
        the face in picture coordinates; the given one where no turn has a better score.
    """
    best = face
    for turns in (_QUARTERS, _BETWEEN):
        if best.score < SURE_SCORE:
            looks = [_best_there(picture, face, run, turn_deg=t, canvas=canvas) for t in turns]
            best = max((best, *filter(None, looks)), key=lambda one: one.score)
    if best is face and abs(eye_line_deg(face)) <= LEVEL_DEG:
        return face
    level = _best_there(picture, best, run, turn_deg=eye_line_deg(best), canvas=canvas)
    return best if level is None else _average_looks(picture, level, run, canvas)


def _average_looks(
    picture: NDArray[np.uint8], face: Face, run: RunDetector, canvas: tuple[int, int] | None
) -> Face:
    """The face with the mean landmarks of several views in which its eye line is level."""
    view = {"turn_deg": eye_line_deg(face), "canvas": canvas}
    looks = [
        _best_there(picture, face, run, per_box=per_box, shift=shift, **view)
        for per_box, shift in LEVEL_VIEWS
    ]
    points = [face.landmarks_px, *(look.landmarks_px for look in looks if look is not None)]
    return replace(face, landmarks_px=np.mean(points, axis=0))


def _best_there(
    picture: NDArray[np.uint8],
    face: Face,
    run: RunDetector,
    **view: Any,
) -> Face | None:
    """The surest face of a view (as for `look_at`) centered near the given one; None without one.

    Boxes of turned faces cannot be compared by their overlap.
    """
    center, reach = _center(face), _SAME_PLACE * _box_px(face)
    seen = look_at(picture, face, run, **view)
    near = [one for one in seen if float(np.abs(_center(one) - center).max()) <= reach]
    return max(near, key=lambda one: one.score, default=None)


def _center(face: Face) -> NDArray[np.float64]:
    left, top, right, bottom = face.box
    return np.array([(left + right) / 2, (top + bottom) / 2])


def _box_px(face: Face) -> float:
    left, top, right, bottom = face.box
    return max(right - left, bottom - top)
