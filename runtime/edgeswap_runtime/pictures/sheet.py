"""Draw contact sheets: a grid of pictures with titles and captions, as one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MARGIN_PX = 4
_INK = "#1c2430"


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetStyle:
    """Sizes within a contact sheet.

    Attributes:
        tile_px: side of the square that each picture is cut and scaled to; None leaves the
            pictures as they are, and all must then be of one size.
        gap_px: white between pictures and around the sheet.
        text_px: size of the letters; a line of text is a third higher.
    """

    tile_px: int | None = 144
    gap_px: int = 0
    text_px: int = 12

    @property
    def line_px(self) -> int:
        """Height of a line of text."""
        return round(self.text_px * 4 / 3)


def draw_sheet(
    rows: Sequence[Sequence[NDArray[np.uint8]]],
    *,
    titles: Sequence[str] = (),
    captions: Sequence[str | Sequence[str]] = (),
    heading: str = "",
    style: SheetStyle | None = None,
) -> NDArray[np.uint8]:
    """Draw a contact sheet; text that does not fit is cut.

    Args:
        rows: the pictures, (H, W, 3) uint8 RGB or (H, W) uint8 gray; as many in every row.
        titles: one above each column, or none at all.
        captions: for each row one line below it, or one below each of its pictures; or none.
        heading: a line above everything.
        style: sizes; the default ones when None.

    Returns:
        (H, W, 3) uint8, RGB, black text on white.

    Raises:
        InvalidRequest: there is no picture, the numbers of pictures, titles or captions do not fit
            each other, or pictures that are not scaled differ in size.
    """
    style = style or SheetStyle()
    _require_grid(rows, titles, captions)
    tiles = [[_tile(picture, style.tile_px) for picture in row] for row in rows]
    height, width = tiles[0][0].shape[:2]
    if any(tile.shape != tiles[0][0].shape for row in tiles for tile in row):
        raise InvalidRequest("the pictures of a sheet differ in size: give a tile_px to scale them")
    gap, head = style.gap_px, style.line_px * (bool(heading) + bool(titles))
    pitch = height + gap + (style.line_px if captions else 0)
    lefts = [gap + column * (width + gap) for column in range(len(tiles[0]))]
    sheet = Image.new("RGB", (lefts[-1] + width + gap, head + gap + len(tiles) * pitch), "white")
    pen = _Pen(sheet, style.text_px)
    pen.write(heading, (gap, 0), sheet.width - 2 * gap)
    pen.write_each(titles, lefts, head - style.line_px, width)
    for number, row in enumerate(tiles):
        top = head + gap + number * pitch
        for left, tile in zip(lefts, row, strict=True):
            sheet.paste(Image.fromarray(tile), (left, top))
        caption = captions[number] if captions else ""
        if isinstance(caption, str):
            pen.write(caption, (gap, top + height), sheet.width - 2 * gap)
        else:
            pen.write_each(caption, lefts, top + height, width)
    return np.asarray(sheet)


def side_by_side(sheets: Sequence[NDArray[np.uint8]], *, gap_px: int = 12) -> NDArray[np.uint8]:
    """Put sheets beside each other, tops in line, white below the shorter ones.

    Args:
        sheets: at least one, (H, W, 3) uint8 RGB.
        gap_px: white between two of them.

    Returns:
        (the largest H, W in all, 3) uint8, RGB.

    Raises:
        InvalidRequest: there is none.
    """
    if not sheets:
        raise InvalidRequest("there is no sheet: expected at least one")
    width = sum(sheet.shape[1] + gap_px for sheet in sheets) - gap_px
    whole = np.full((max(map(len, sheets)), width, 3), 255, dtype=np.uint8)
    left = 0
    for sheet in sheets:
        whole[: len(sheet), left : left + sheet.shape[1]] = sheet
        left += sheet.shape[1] + gap_px
    return whole


class _Pen:
    """Writes lines of text into a picture, none longer than its place."""

    def __init__(self, sheet: Image.Image, text_px: int) -> None:
        self._draw = ImageDraw.Draw(sheet)
        self._font = ImageFont.load_default(text_px)

    def write(self, words: str, place: tuple[int, int], width_px: int) -> None:
        """Write at the left of a place, with an ellipsis where the words do not fit."""
        room = width_px - _MARGIN_PX
        if self._draw.textlength(words, self._font) > room:
            while words and self._draw.textlength(f"{words}...", self._font) > room:
                words = words[:-1]
            words = f"{words}..." if words else ""
        self._draw.text((place[0] + _MARGIN_PX, place[1]), words, _INK, self._font)

    def write_each(self, texts: Sequence[str], lefts: list[int], top: int, width_px: int) -> None:
        """Write one text in each column; none at all is possible."""
        for left, words in zip(lefts, texts, strict=False):
            self.write(words, (left, top), width_px)


def _require_grid(
    rows: Sequence[Sequence[object]],
    titles: Sequence[str],
    captions: Sequence[str | Sequence[str]],
) -> None:
    columns = {len(row) for row in rows}
    if not columns or columns == {0}:
        raise InvalidRequest("there is no picture for the sheet: expected at least one")
    if len(columns) > 1:
        raise InvalidRequest(
            f"the rows of a sheet hold {sorted(columns)} pictures: expected as many in every row"
        )
    wide = columns.pop()
    if len(titles) not in (0, wide):
        raise InvalidRequest(f"a sheet of {wide} columns has {len(titles)} titles: expected {wide}")
    counts = [len(caption) for caption in captions if not isinstance(caption, str)]
    if len(captions) not in (0, len(rows)) or any(count != wide for count in counts):
        raise InvalidRequest(
            f"a sheet of {len(rows)} rows and {wide} columns has {len(captions)} captions: "
            "expected one for each row, or one for each picture of it"
        )


def _tile(picture: NDArray[np.uint8], side_px: int | None) -> NDArray[np.uint8]:
    """A picture in RGB, cut to its central square and scaled where a side is given."""
    rgb = np.repeat(picture[:, :, None], 3, axis=2) if picture.ndim == 2 else picture
    if side_px is None:
        return np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(np.ascontiguousarray(rgb[top : top + side, left : left + side]))
    return np.asarray(square.resize((side_px, side_px), Image.Resampling.LANCZOS))
