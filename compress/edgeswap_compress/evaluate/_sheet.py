"""Contact sheet of an evaluation: best, median and worst swaps beside source and truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.pictures.sheet import draw_sheet, side_by_side
from edgeswap_runtime.pictures.write import SWAPPED, require_new_png, save_marked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_compress.evaluate._pairs import HeldOut, PairList
    from edgeswap_compress.evaluate.report import EvaluationReport

COLUMNS = ("source", "target", "swap", "truth")


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


def contact_sheet(
    dataset: HeldOut, report: EvaluationReport, *, rows: int = 6
) -> NDArray[np.uint8]:
    """Draw best, median and worst swaps side by side, a block of four columns each.

    Args:
        dataset: the one that was judged.
        report: of the evaluation.
        rows: swaps of each kind.

    Returns:
        (H, W, 3) uint8 RGB; every swap is labeled with its PSNR inside the face and the judge's
        distance to the source person.
    """
    cases = chosen_cases(report.values["psnr_face_db"], rows)
    blocks = [
        draw_sheet(
            [_tiles(dataset, report, int(case)) for case in which],
            titles=COLUMNS,
            captions=[_label(report, int(case)) for case in which],
            heading=f"{kind} by PSNR inside the face",
        )
        for kind, which in cases.items()
        if len(which)
    ]
    return side_by_side(blocks)


def write_sheet(path: Path, dataset: HeldOut, report: EvaluationReport, *, rows: int = 6) -> None:
    """Write `contact_sheet` as PNG, marked as generated.

    Raises:
        InvalidRequest, OutputExists: see `require_new_png`.
    """
    require_new_png(path)
    save_marked(path, contact_sheet(dataset, report, rows=rows), SWAPPED)


def _tiles(dataset: HeldOut, report: EvaluationReport, case: int) -> list[NDArray[np.uint8]]:
    pairs: PairList = report.pairs
    images = dataset.images(int(pairs.group[case]))
    return [
        images[pairs.source[case]],
        images[pairs.target[case]],
        report.swaps[case],
        images[pairs.truth[case]],
    ]


def _label(report: EvaluationReport, case: int) -> str:
    values = report.values
    found = ", Top-1" if values["id_top1"][case] else ""
    return (
        f"{values['psnr_face_db'][case]:.1f} dB, distance to source "
        f"{values['id_distance_source'][case]:.2f}, to target "
        f"{values['id_distance_target'][case]:.2f}{found}"
    )
