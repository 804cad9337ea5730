"""Contact sheet of an evaluation: best, median and worst swaps beside source and truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgeswap_compress.evaluate._errors import InvalidEvaluation
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.pictures.write import SWAPPED, save_marked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_compress.evaluate._pairs import HeldOut, PairList
    from edgeswap_compress.evaluate.report import EvaluationReport

COLUMNS = ("source", "target", "swap", "truth")
_TILE_PX = 144
_TEXT_PX = 16
_GAP_PX = 12


def require_new_png(path: Path) -> None:
    """Check the sheet's path before any work is done.

    Raises:
        InvalidEvaluation: not a .png, or its folder is missing.
        OutputExists: the path is taken.
    """
    if path.suffix.lower() != ".png":
        raise InvalidEvaluation(f"cannot write the sheet {path}: expected a name ending in .png")
    if not path.parent.is_dir():
        raise InvalidEvaluation(
            f"cannot write the sheet {path}: there is no folder {path.parent}, make it first"
        )
    if path.exists():
        raise OutputExists(path)


def chosen_cases(psnr_db: NDArray[np.float64], rows: int) -> dict[str, NDArray[np.int64]]:
    """Choose the pairs to show, by PSNR inside the face.

    Args:
        psnr_db: (n,).
        rows: of each kind; fewer when there are not enough pairs.

    Returns:
        `best` (best first), `median` (around it), `worst` (worst first); no pair occurs twice.
    """
    order = np.argsort(-psnr_db, kind="stable")
    rows = max(1, min(rows, len(order) // 3))
    best, rest = order[:rows], order[rows:]
    worst = rest[::-1][:rows]
    between = rest[: len(rest) - len(worst)]
    start = max(0, (len(between) - rows) // 2)
    return {"best": best, "median": between[start : start + rows], "worst": worst}


def contact_sheet(dataset: HeldOut, report: EvaluationReport, *, rows: int = 6) -> Image.Image:
    """Draw best, median and worst swaps side by side, a block of four columns each.

    Args:
        dataset: the one that was judged.
        report: of the evaluation.
        rows: swaps of each kind.

    Returns:
        an RGB picture; every swap is labeled with its PSNR inside the face and the judge's
        distance to the source person.
    """
    cases = chosen_cases(report.values["psnr_face_db"], rows)
    pitch = _TILE_PX + _TEXT_PX
    block = _TILE_PX * len(COLUMNS) + _GAP_PX
    height = 2 * _TEXT_PX + pitch * max(len(which) for which in cases.values())
    sheet = Image.new("RGB", (block * len(cases) - _GAP_PX, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, (kind, which) in enumerate(cases.items()):
        left = number * block
        draw.text((left + 4, 0), f"{kind} by PSNR inside the face", "black", font)
        for column, title in enumerate(COLUMNS):
            draw.text((left + column * _TILE_PX + 4, _TEXT_PX), title, "black", font)
        for row, case in enumerate(which):
            top = 2 * _TEXT_PX + row * pitch
            for column, tile in enumerate(_tiles(dataset, report, int(case))):
                sheet.paste(tile, (left + column * _TILE_PX, top))
            label = _label(report, int(case))
            draw.text((left + 4, top + _TILE_PX), label, "black", font)
    return sheet


def write_sheet(path: Path, dataset: HeldOut, report: EvaluationReport, *, rows: int = 6) -> None:
    """Write `contact_sheet` as PNG, marked as generated.

    Raises:
        InvalidEvaluation, OutputExists: see `require_new_png`.
    """
    require_new_png(path)
    save_marked(path, contact_sheet(dataset, report, rows=rows), SWAPPED)


def _tiles(dataset: HeldOut, report: EvaluationReport, case: int) -> list[Image.Image]:
    pairs: PairList = report.pairs
    images = dataset.images(int(pairs.group[case]))
    pictures = (
        images[pairs.source[case]],
        images[pairs.target[case]],
        report.swaps[case],
        images[pairs.truth[case]],
    )
    return [
        Image.fromarray(np.ascontiguousarray(picture)).resize(
            (_TILE_PX, _TILE_PX), Image.Resampling.BICUBIC
        )
        for picture in pictures
    ]


def _label(report: EvaluationReport, case: int) -> str:
    values = report.values
    found = ", Top-1" if values["id_top1"][case] else ""
    return (
        f"{values['psnr_face_db'][case]:.1f} dB, distance to source "
        f"{values['id_distance_source'][case]:.2f}, to target "
        f"{values['id_distance_target'][case]:.2f}{found}"
    )
