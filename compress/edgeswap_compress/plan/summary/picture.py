"""Draw a plan: a bar for each layer, as long as what is kept of it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.plan.summary.view import LayerView, PlanView
from edgeswap_runtime.pictures.write import DIAGRAM, require_new_png, save_marked

ROW_PX, NAME_PX, BAR_PX, COUNT_PX, GAP_PX = 15, 420, 520, 90, 8
KEPT, GONE, DROPPED, BLOCK = "#4c78a8", "#dfe3e8", "#e45756", "#444444"


def draw_plan(view: PlanView) -> Image.Image:
    """Draw a plan in RGB: a heading for each block, a row for each layer; blue is kept, gray cut.

    Bars are as long as the layer's width over the widest layer's; a dropped layer is red.

    Raises:
        PruningError: the plan says nothing about any layer.
    """
    if not view.layers:
        raise PruningError("the plan cuts no layer: put the U-Net's config.json beside it")
    widest = max(layer.of for layer in view.layers)
    rows: list[LayerView | str] = []
    for block in view.blocks:
        rows += [block.name, *(layer for layer in view.layers if layer.block == block.name)]
    size = (NAME_PX + BAR_PX + COUNT_PX + 2 * GAP_PX, ROW_PX * len(rows) + 2 * GAP_PX)
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    for number, row in enumerate(rows):
        top = GAP_PX + number * ROW_PX
        if isinstance(row, str):
            draw.text((GAP_PX, top), row, BLOCK, font)
            draw.line((GAP_PX, top + ROW_PX - 2, size[0] - GAP_PX, top + ROW_PX - 2), BLOCK)
            continue
        short = row.name.removeprefix(f"{row.block}.")
        draw.text((GAP_PX * 2, top), short, "black", font)
        left, bottom = NAME_PX + GAP_PX, top + ROW_PX - 4
        draw.rectangle((left, top + 2, left + _length(row.of, widest), bottom), GONE)
        if row.kept:
            draw.rectangle((left, top + 2, left + _length(row.kept, widest), bottom), KEPT)
        else:
            draw.rectangle((left, top + 2, left + _length(row.of, widest), bottom), DROPPED)
        draw.text((left + BAR_PX + GAP_PX, top), f"{row.kept}/{row.of}", "black", font)
    return picture


def write_picture(path: Path, view: PlanView) -> None:
    """Write `draw_plan` as PNG, atomically.

    Raises:
        PruningError: see `draw_plan`.
        InvalidRequest, OutputExists: see `require_new_png`.
    """
    require_new_png(path)
    save_marked(path, draw_plan(view), DIAGRAM)


def _length(width: int, widest: int) -> int:
    return max(1, round(width / widest * BAR_PX)) - 1
