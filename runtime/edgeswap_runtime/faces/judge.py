"""Judge from its landmarks and pixels whether the model can swap a face.

A swap that the model cannot do is not done: the face is left alone and named in the report.

| what | bound | why |
|---|---|---|
| turn of the head | 42 degrees | trained to 30; at 45 swaps reach past the face's outline |
| width | 14 px | the detector finds none of 8 px and all of 14 px |
| share in the picture | 80 % of the mask | the models never saw a border through a face |
| blur | sharpness 0.11 below score 0.92 | from a blur of a tenth of the eye distance on (standard |
| | | deviation), landmarks are off by more than a tenth of it |
| detector's score | 0.7 | portraits have 0.94, single objects taken for faces up to 0.68 |

What covers a face (a hand, a mask) is not judged: half covered faces still score 0.84 to 0.91.

The turn is seen from how far the nose lies off the middle of the eyes: in a head seen at the angle
a, the nose is shifted by d sin(a) and the eyes appear e cos(a) apart, so that a =
arctan((shift / apart) / (d / e)). d / e is about 0.5 in the renders, where the angle is known, and
angles up to 60 degrees are told to about 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.errors import NothingSwapped
from edgeswap_runtime.faces.align import TEMPLATE_96, invert, similarity, transform_points, warp
from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.faces.paste import mask_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.manifest import Mask

MAX_YAW_DEG = 42.0
MIN_WIDTH_PX = 14.0
MIN_INSIDE = 0.8
MIN_SHARPNESS = 0.11
SHARP_SCORE = 0.92
MIN_SCORE = 0.7
_NOSE_DEPTH = 0.5
_SIDE_PX = 96


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedFace:
    """A face of a picture, and whether it can be swapped.

    Attributes:
        number: its place from left to right, from 1.
        face: where it is.
        chosen: whether it was asked for; only chosen faces are judged.
        yaw_deg: turn of the head from the camera, -90 to 90, positive to the picture's right; None
            where not judged.
        problem: why it should be left alone, such as "profile 72°"; None where nothing is wrong or
            it was not judged.
    """

    number: int
    face: Face
    chosen: bool
    yaw_deg: float | None = None
    problem: str | None = None


def swappable(judged: tuple[JudgedFace, ...], picture: str, *, force: bool) -> tuple[Face, ...]:
    """The chosen faces that can be swapped, largest first; with `force` all chosen ones.

    Raises:
        NothingSwapped: there is none.
    """
    chosen = [one for one in judged if one.chosen]
    taken = [one.face for one in chosen if force or one.problem is None]
    if not taken:
        raise NothingSwapped(picture, problems_of(judged))
    return tuple(sorted(taken, key=lambda face: -face.area_px))


def problems_of(judged: tuple[JudgedFace, ...]) -> list[str]:
    """The faces with a problem, such as "#2 profile 72°"."""
    return [f"#{one.number} {one.problem}" for one in judged if one.problem is not None]


def find_problem(
    picture: NDArray[np.uint8],
    face: Face,
    *,
    matrix: NDArray[np.float64],
    mask: Mask,
    size_px: int,
) -> str | None:
    """Say why a face should be left alone.

    Args:
        picture: (H, W, 3) uint8, RGB.
        face: with refined landmarks.
        matrix: (2, 3), picture to crop.
        mask: of the bundle, in crop pixels.
        size_px: the crop's side.

    Returns:
        a few words with the measure, such as "profile 72°"; None where nothing is wrong.
    """
    yaw_deg = estimate_yaw(face.landmarks_px)
    if abs(yaw_deg) > MAX_YAW_DEG:
        return f"profile {abs(yaw_deg):.0f}°"
    left, _, right, _ = face.box
    if right - left < MIN_WIDTH_PX:
        return f"too small, {right - left:.0f} px wide"
    inside = share_inside(picture.shape, matrix, mask, size_px)
    if inside < MIN_INSIDE:
        return f"cut off, {inside:.0%} of it in the picture"
    if face.score < MIN_SCORE:
        return f"unclear, score {face.score:.2f}"
    if face.score < SHARP_SCORE:
        sharpness = measure_sharpness(picture, face)
        if sharpness < MIN_SHARPNESS:
            return f"blurred, sharpness {sharpness:.2f}"
    return None


def estimate_yaw(landmarks_px: NDArray[np.floating]) -> float:
    """Estimate the turn of the head from the camera by its landmarks.

    Args:
        landmarks_px: (5, 2), as in `Face`.

    Returns:
        degrees, -90 to 90; positive where the nose points to the picture's right.
    """
    eyes = landmarks_px[1] - landmarks_px[0]
    apart = float(np.linalg.norm(eyes))
    if apart < 1e-6:
        return 90.0
    nose = landmarks_px[2] - (landmarks_px[0] + landmarks_px[1]) / 2
    shift = float(nose @ eyes) / apart
    return math.degrees(math.atan(shift / apart / _NOSE_DEPTH))


def share_inside(
    shape: tuple[int, ...], matrix: NDArray[np.float64], mask: Mask, size_px: int
) -> float:
    """Compute the share of the mask's area that lies in the picture, 0 to 1."""
    y, x = np.mgrid[0 : size_px : size_px / 32, 0 : size_px : size_px / 32]
    masked = mask_weights(mask, x, y, size_px) > 0
    there = transform_points(invert(matrix), np.stack([x[masked], y[masked]], axis=1))
    seen = ((there >= -0.5) & (there <= np.array([shape[1], shape[0]]) - 0.5)).all(1)
    return float(seen.mean()) if seen.size else 0.0


def measure_sharpness(picture: NDArray[np.uint8], face: Face) -> float:
    """Measure how sharp a face is: the contrast between neighbors over the contrast of the face.

    Args:
        picture: (H, W, 3) uint8, RGB.
        face: its landmarks.

    Returns:
        the standard deviation of the Laplacian over that of the brightness, in a crop of 96 px, or
        of as many pixels as a smaller face has. Above 0.4 in sharp portraits.
    """
    matrix = similarity(face.landmarks_px, TEMPLATE_96)
    spread = 1 / math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))  # picture px per crop px
    side = round(_SIDE_PX * min(1.0, max(spread, 0.25)))
    scale = side / _SIDE_PX
    smaller = scale * matrix
    smaller[:, 2] += (scale - 1) / 2
    gray = warp(picture, smaller, side).astype(np.float64).mean(2)
    low, high = side // 5, side - side // 6
    gray = gray[low:high, low:high]
    inner = gray[1:-1, 1:-1]
    sides = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:]
    return float((4 * inner - sides).std() / (inner.std() + 1e-6))
