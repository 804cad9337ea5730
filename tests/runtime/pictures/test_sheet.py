"""Contact sheets: where the pictures and the words come to lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.pictures.sheet import SheetStyle, draw_sheet, side_by_side

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN = SheetStyle(tile_px=None)


def _flat(value: int, height: int = 20, width: int = 30) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, dtype=np.uint8)


def _has_ink(area: NDArray[np.uint8]) -> bool:
    return bool((area < 128).any())


def test_pictures_alone_stand_edge_to_edge() -> None:
    rows = [[_flat(1), _flat(2)], [_flat(3), _flat(4)]]
    sheet = draw_sheet(rows, style=PLAIN)
    assert sheet.shape == (40, 60, 3) and sheet.dtype == np.uint8
    assert np.array_equal(sheet, np.concatenate([np.concatenate(row, axis=1) for row in rows]))


def test_gray_pictures_are_shown_as_gray() -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    sheet = draw_sheet([[gray]], style=PLAIN)
    assert np.array_equal(sheet, np.repeat(gray[:, :, None], 3, axis=2))


def test_pictures_are_cut_to_their_middle_and_scaled() -> None:
    picture = _flat(0, 40, 80)
    picture[:, 20:60] = (10, 200, 30)
    sheet = draw_sheet([[picture, _flat(9, 7, 7)]], style=SheetStyle(tile_px=16, gap_px=3))
    assert sheet.shape == (16 + 6, 2 * 16 + 9, 3)
    assert (sheet[3:19, 3:19] == (10, 200, 30)).all() and (sheet[3:19, 22:38] == 9).all()
    assert (sheet[:3] == 255).all() and (sheet[:, 19:22] == 255).all()


def test_words_stand_where_they_belong() -> None:
    rows = [[_flat(200, 50, 100)] * 2] * 2
    sheet = draw_sheet(
        rows, heading="all", titles=("source", ""), captions=["below", ("", "one")], style=PLAIN
    )
    assert sheet.shape == (2 * 16 + 2 * (50 + 16), 200, 3)
    lines = {"heading": 0, "titles": 16, "first": 32 + 50, "second": 32 + 66 + 50}
    inked = {
        name: (_has_ink(sheet[top : top + 16, :100]), _has_ink(sheet[top : top + 16, 100:]))
        for name, top in lines.items()
    }
    assert inked == {
        "heading": (True, False),
        "titles": (True, False),
        "first": (True, False),
        "second": (False, True),
    }
    assert (sheet[32 : 32 + 50] == 200).all()


@pytest.mark.parametrize("words", ["a title that is far too long for its column" * 3, "WWWWWW"])
def test_long_words_are_cut_at_their_column(words: str) -> None:
    sheet = draw_sheet([[_flat(255, 20, 40)] * 2], titles=(words, ""), style=PLAIN)
    assert _has_ink(sheet[:16, :40]) and not _has_ink(sheet[:, 40:])


def test_sheets_stand_side_by_side() -> None:
    whole = side_by_side([_flat(1, 10, 5), _flat(2, 4, 6)], gap_px=2)
    assert whole.shape == (10, 13, 3)
    assert (whole[:, :5] == 1).all() and (whole[:4, 7:] == 2).all()
    assert (whole[:, 5:7] == 255).all() and (whole[4:, 5:] == 255).all()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rows": []}, "there is no picture for the sheet"),
        ({"rows": [[], []]}, "there is no picture for the sheet"),
        ({"rows": [[_flat(1)], [_flat(1)] * 2]}, r"the rows of a sheet hold \[1, 2\] pictures"),
        ({"rows": [[_flat(1), _flat(1, 9)]]}, "differ in size: give a tile_px"),
        ({"titles": ("a",)}, "a sheet of 2 columns has 1 titles: expected 2"),
        ({"captions": ("a", "b")}, "a sheet of 1 rows and 2 columns has 2 captions"),
        ({"captions": (("a",),)}, "expected one for each row, or one for each picture"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], told: str) -> None:
    arguments: dict[str, Any] = {"rows": [[_flat(1)] * 2], "style": PLAIN, **changed}
    with pytest.raises(InvalidRequest, match=told):
        draw_sheet(**arguments)
    with pytest.raises(InvalidRequest, match="there is no sheet"):
        side_by_side([])
