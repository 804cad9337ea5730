"""What is left alone: each bound has a face on either side of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.errors import NothingSwapped
from edgeswap_runtime.faces.align import TEMPLATE_96, similarity
from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.faces.judge import (
    MAX_YAW_DEG,
    JudgedFace,
    estimate_yaw,
    find_problem,
    measure_sharpness,
    problems_of,
    share_inside,
    swappable,
)

if TYPE_CHECKING:
    from edgeswap_runtime.bundle.manifest import Mask

_SMOOTH = Image.Resampling.BICUBIC
NOISE = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)


def _head(yaw_deg: float, roll_deg: float = 0.0) -> np.ndarray:
    """Landmarks of a head in three dimensions, turned and seen from afar."""
    points = np.array(
        [[-1, 0, 0], [1, 0, 0], [0, 1.2, 1.0], [-0.8, 2.2, 0.3], [0.8, 2.2, 0.3]], float
    )
    y, r = np.radians([yaw_deg, roll_deg])
    x = points[:, 0] * np.cos(y) + points[:, 2] * np.sin(y)
    flat = np.stack([x, points[:, 1]], 1) * 20
    turn = np.array([[np.cos(r), -np.sin(r)], [np.sin(r), np.cos(r)]])
    return flat @ turn.T + 100


@pytest.mark.parametrize("yaw_deg", [-70, -30, 0, 20, 45, 80])
@pytest.mark.parametrize("roll_deg", [0, 90, -135])
def test_the_turn_of_a_head_is_seen_from_its_landmarks(yaw_deg: float, roll_deg: float) -> None:
    assert estimate_yaw(_head(yaw_deg, roll_deg)) == pytest.approx(yaw_deg, abs=1)


def test_eyes_in_one_place_are_a_profile() -> None:
    assert estimate_yaw(np.zeros((5, 2))) == 90


def _problem(
    picture: np.ndarray, mask: Mask, *, shift: float = 0, scale: float = 1.0, **changes: Any
) -> str | None:
    points = TEMPLATE_96 * scale + 50 + np.array([shift, 0])
    face = Face(box=(60, 60, 60 + 80 * scale, 140), landmarks_px=points, score=0.95)
    face = replace(face, **changes)
    matrix = similarity(face.landmarks_px, TEMPLATE_96)
    return find_problem(picture, face, matrix=matrix, mask=mask, size_px=96)


@pytest.fixture
def mask(tiny: Any) -> Mask:
    """A mask in a crop of 96 px."""
    return replace(tiny.MASK, center_px=(48.0, 54.0), radii_px=(38.0, 41.0))


def test_each_bound_has_two_sides(mask: Mask) -> None:
    assert _problem(NOISE, mask) is None
    assert _problem(NOISE, mask, landmarks_px=_head(MAX_YAW_DEG - 4)) is None
    assert _problem(NOISE, mask, landmarks_px=_head(72)) == "profile 72°"
    assert _problem(NOISE, mask, box=(60, 60, 73, 80)) == "too small, 13 px wide"
    assert _problem(NOISE, mask, box=(60, 60, 75, 80)) is None
    assert _problem(NOISE, mask, shift=20) is None
    cut_off = _problem(NOISE, mask, shift=95)
    assert cut_off is not None and cut_off.startswith("cut off, ")
    assert _problem(NOISE, mask, score=0.66) == "unclear, score 0.66"
    assert _problem(NOISE, mask, score=0.72) is None


def test_a_blurred_face_is_left_alone_where_the_detector_doubts_it_too(mask: Mask) -> None:
    blurred = np.asarray(Image.fromarray(NOISE[:12, :12]).resize((200, 200), _SMOOTH))
    problem = _problem(blurred, mask, score=0.9)
    assert problem is not None and problem.startswith("blurred, sharpness 0.")
    assert _problem(blurred, mask, score=0.93) is None
    assert _problem(NOISE, mask, score=0.9) is None


def test_enlarging_a_sharp_face_in_the_crop_does_not_blur_it() -> None:
    """A face of a quarter of the crop's size is judged by its own pixels."""
    small = Face(box=(0, 0, 30, 30), landmarks_px=TEMPLATE_96 / 4 + 20, score=0.9)
    assert measure_sharpness(NOISE, small) > 1


def test_the_share_inside_is_that_of_the_mask(mask: Mask) -> None:
    whole = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert share_inside((96, 96, 3), whole, mask, 96) == 1
    half = share_inside((96, 48, 3), whole, mask, 96)
    assert half == pytest.approx(0.5, abs=0.05)
    assert share_inside((10, 10, 3), whole, mask, 96) == 0


def test_what_is_swapped_and_what_is_told() -> None:
    faces = [
        Face(box=(0, 0, side, side), landmarks_px=np.zeros((5, 2)), score=1) for side in (2, 9, 5)
    ]
    judged = (
        JudgedFace(number=1, face=faces[0], chosen=True),
        JudgedFace(number=2, face=faces[1], chosen=True, problem="profile 72°"),
        JudgedFace(number=3, face=faces[2], chosen=False),
    )
    assert swappable(judged, "a", force=False) == (faces[0],)
    assert swappable(judged, "a", force=True) == (faces[1], faces[0])
    assert problems_of(judged) == ["#2 profile 72°"]
    with pytest.raises(NothingSwapped, match="nothing swapped in a: #2 profile 72°; choose other"):
        swappable(judged[1:], "a", force=False)
