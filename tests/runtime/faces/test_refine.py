"""Heads turned in the picture's plane, with the real detector on a packaged portrait."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import Swapper, read_picture
from edgeswap_runtime.faces.align import transform_points
from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.faces.look import look_at, map_face
from edgeswap_runtime.faces.refine import look_again, turn_upright
from edgeswap_runtime.pictures.portraits import packaged_portraits

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def student() -> Iterator[Swapper]:
    """The packaged bundle."""
    with Swapper.open(threads=1) as opened:
        yield opened


@functools.cache
def _portrait() -> np.ndarray:
    (path,) = [path for path in packaged_portraits() if path.stem == "target-1"]
    return np.asarray(Image.fromarray(read_picture(path)).resize((256, 256)))


def _turned(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The portrait turned clockwise, and the matrix from its points to the turned ones."""
    picture = _portrait()
    image = Image.fromarray(picture).rotate(-degrees, Image.Resampling.BICUBIC, expand=True)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    linear = np.array([[c, -s], [s, c]])
    new = (np.array(image.size) - 1) / 2
    return np.asarray(image), np.column_stack([linear, new - linear @ np.full(2, 127.5)])


@pytest.mark.parametrize("degrees", [30, 90, 135, 180, 270, 315])
def test_a_turned_face_has_its_landmarks_where_they_were(student: Swapper, degrees: int) -> None:
    """Within 6 %: the upright look, which is the truth here, is off by 4 % itself."""
    (upright,) = student.detect(_portrait())
    picture, matrix = _turned(degrees)
    (face, *_), _found = student.choose(picture)
    expected = transform_points(matrix, upright.landmarks_px)
    eyes = float(np.linalg.norm(expected[1] - expected[0]))
    assert np.linalg.norm(face.landmarks_px - expected, axis=1).mean() < 0.06 * eyes


def test_a_sure_level_face_costs_no_further_look() -> None:
    points = np.array([[40.0, 50.0], [80.0, 51.0], [60.0, 70.0], [45.0, 90.0], [75.0, 90.0]])
    face = Face(box=(20, 20, 100, 110), landmarks_px=points, score=0.95)

    def run(_: np.ndarray) -> dict[str, Any]:
        raise AssertionError("looked at")

    assert turn_upright(np.zeros((128, 128, 3), np.uint8), face, run) is face


def test_a_doubtful_face_keeps_its_turn_where_no_other_is_better(tiny: Any) -> None:
    """All turns score the same here: the first stays, after a bounded number of looks."""
    looks = 0

    def run(tensor: np.ndarray) -> dict[str, Any]:
        nonlocal looks
        looks += 1
        return tiny.detector_constants(
            ((tiny.FACE_BOX, tiny.FACE_LANDMARKS, 0.9),), tensor.shape[2:]
        )

    face = Face(box=tiny.FACE_BOX, landmarks_px=tiny.FACE_LANDMARKS, score=0.9)
    picture = np.full((64, 64, 3), 99, np.uint8)
    assert turn_upright(picture, face, run, canvas=(64, 64)) is face
    assert looks == 7


@pytest.mark.parametrize("degrees", [0.0, 90.0, 180.0, 270.0, -37.0])
def test_a_view_is_mapped_back(tiny: Any, degrees: float) -> None:
    """The detector sees its face at one place of each view: it lies where the view showed it."""
    around = Face(box=(30, 40, 70, 80), landmarks_px=tiny.FACE_LANDMARKS, score=0.9)
    picture = np.full((128, 128, 3), 99, np.uint8)
    (seen,) = look_at(
        picture,
        around,
        lambda tensor: tiny.detector_constants(canvas=tensor.shape[2:]),
        turn_deg=degrees,
        canvas=(64, 64),
    )
    scale = 1.2 * 40 / 64
    c, s = np.cos(np.radians(degrees)) * scale, np.sin(np.radians(degrees)) * scale
    offset = tiny.FACE_LANDMARKS - 0.5 - 31.5
    expected = [50, 60] + offset @ np.array([[c, s], [-s, c]])
    np.testing.assert_allclose(seen.landmarks_px, expected, atol=1e-4)


def test_the_box_of_a_slanted_face_does_not_grow() -> None:
    face = Face(box=(0, 0, 10, 20), landmarks_px=np.zeros((5, 2)), score=1)
    c = np.sqrt(0.5)
    slanted = map_face(face, np.array([[c, -c, 0], [c, c, 0]]))
    left, top, right, bottom = slanted.box
    assert right - left == pytest.approx(20) and bottom - top == pytest.approx(20)
    quarter = map_face(face, np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert quarter.box == (-20, 0, 0, 10)


@pytest.mark.parametrize("degrees", [0.0, 60.0, 180.0])
def test_a_followed_face_is_found_again_in_one_look(student: Swapper, degrees: float) -> None:
    """One view, however the head is turned; the landmarks are those of a search of the picture."""
    picture, _ = _turned(degrees)
    (face,) = student.detect(picture)
    moved = np.roll(picture, (2, -3), axis=(0, 1))
    views = 0

    def run(tensor: np.ndarray) -> Any:
        nonlocal views
        views += 1
        return student._crops.detector(tensor)

    again = look_again(moved, face, run)
    assert again is not None and views == 1
    eyes_px = float(np.linalg.norm(face.landmarks_px[1] - face.landmarks_px[0]))
    away = np.abs(again.landmarks_px - face.landmarks_px - [-3, 2]).mean()
    assert away < 0.05 * eyes_px
    assert look_again(np.zeros_like(picture), face, run) is None


def test_faces_near_known_ones_are_not_searched_for(student: Swapper) -> None:
    picture = _portrait()
    (face,) = student.detect(picture)
    (again,) = student.detect(picture, [face], everywhere=False)
    assert np.abs(again.landmarks_px - face.landmarks_px).max() < 4
    assert student.detect(np.zeros((64, 64, 3), np.uint8), [face], everywhere=False) == ()
