"""Searching a whole picture: tiles, quarter turns, and where neither is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import Swapper, read_picture
from edgeswap_runtime.faces.search import search_faces
from edgeswap_runtime.pictures.portraits import packaged_portraits

if TYPE_CHECKING:
    from collections.abc import Callable


SQUARE_LANDMARKS = np.array([[6.0, 8], [18, 8], [12, 13], [7, 18], [17, 18]])


def _marked(height: int, width: int, *places: tuple[int, int]) -> np.ndarray:
    """A black picture with bright squares of 24 px, each with a dark top."""
    picture = np.zeros((height, width, 3), np.uint8)
    for x, y in places:
        picture[y : y + 24, x : x + 24] = 200
        picture[y : y + 6, x : x + 24] = 120
    return picture


def _square_detector(tiny: Any, seen: list[tuple[int, ...]]) -> Callable[[np.ndarray], Any]:
    """A detector that sees squares of about 24 px whose dark side is on top."""

    def run(tensor: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(tensor.shape[2:])
        plane = tensor[0, 0]
        faces = []
        for y, x in np.argwhere((plane > 100) & (plane < 140)):
            box = plane[y : y + 24, x : x + 24]
            if box.shape == (24, 24) and (box[8:] > 180).all() and (box[:5] < 140).all():
                points = np.array([x, y]) + SQUARE_LANDMARKS
                faces.append(((x, y, x + 24.0, y + 24.0), points, 0.9))
        return tiny.detector_constants(tuple(faces), tensor.shape[2:])

    return run


def test_small_faces_of_a_large_picture_are_found_by_tiles_once_each(tiny: Any) -> None:
    places = [(100, 80), (590, 300), (1700, 900)]  # the second lies where tiles overlap
    picture = _marked(1000, 1800, *places)
    looks: list[tuple[int, ...]] = []
    found = search_faces(picture, _square_detector(tiny, looks))
    lefts = sorted((face.box[0], face.box[1]) for face in found)
    np.testing.assert_allclose(lefts, np.array(places) - 0.5, atol=1e-3)
    assert 2 < len(looks) <= 2 + 4 * 2


def test_one_look_is_enough_where_a_face_is_seen_and_the_largest_is_wanted(tiny: Any) -> None:
    looks: list[tuple[int, ...]] = []
    assert len(search_faces(_marked(400, 600, (50, 50)), _square_detector(tiny, looks))) == 1
    assert looks == [(416, 608)]


def test_a_picture_on_its_side_is_looked_at_the_other_way_round(tiny: Any) -> None:
    upright = _marked(300, 400, (50, 200))
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(upright, quarters))
        (face,) = search_faces(turned, _square_detector(tiny, []))
        left, top, right, bottom = (round(value + 0.5) for value in face.box)
        assert (turned[top:bottom, left:right] > 0).all()
        assert (right - left, bottom - top) == (24, 24)


@pytest.mark.parametrize("shape", [(60_000, 1, 3), (1, 60_000, 3)])
def test_a_picture_of_one_line_has_no_face(shape: tuple[int, ...], tiny: Any) -> None:
    detector = _square_detector(tiny, [])
    assert search_faces(np.zeros(shape, np.uint8), detector, small=True) == ()


def test_nothing_is_found_in_nothing(tiny: Any) -> None:
    looks: list[tuple[int, ...]] = []
    assert search_faces(np.zeros((64, 64, 3), np.uint8), _square_detector(tiny, looks)) == ()
    assert len(looks) == 8  # two sizes, four ways round


@pytest.mark.parametrize("width_px", [50, 25])
def test_a_small_face_in_12_megapixels(width_px: int) -> None:
    portrait = Image.fromarray(np.asarray(read_picture(packaged_portraits()[0])))
    side = round(512 * width_px / 160)
    picture = np.full((3000, 4000, 3), 128, np.uint8)
    picture[1000 : 1000 + side, 2000 : 2000 + side] = np.asarray(portrait.resize((side, side)))
    with Swapper.open(threads=1) as swapper:
        ((face, *_), _) = swapper.choose(picture)
    assert 2000 < face.box[0] < face.box[2] < 2000 + side
    assert face.box[2] - face.box[0] == pytest.approx(width_px, rel=0.15)
