"""Report of an evaluation: scores with intervals, as flat JSON and as a table.

The swap that is judged is the pasted one, because that is what a user gets; the row `unpasted`
shows what the model itself makes of the whole crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_compress.evaluate._pairs import PairList
    from edgeswap_compress.evaluate._statistics import Score
    from edgeswap_compress.evaluate.models import ModelFacts

    Scores = dict[str, Score]  # by metric

JUDGED = "swap"
"""The row whose scores stand in the JSON without a prefix."""

ROWS: dict[str, str] = {
    "swap": "the swap, pasted by the model's mask",
    "unpasted": "the swap before it is pasted",
    "teacher": "the teacher's swap, pasted by its mask",
    "truth": "the exact truth",
    "truth_pasted": "the truth, pasted by the model's mask: what the mask lets through",
    "autoencoder": "the truth through the model's autoencoder, not pasted",
    "target": "the target, left as it is",
    "source": "the source's crop as it is, pasted by the model's mask",
}
"""Rows in the order of the table, and what each shows."""

METRICS: dict[str, str] = {
    "psnr_face_db": "PSNR to the truth inside the face mask, mean of pairs",
    "ssim_face": "SSIM of the luma to the truth inside the face mask",
    "psnr_outside_db": "PSNR to the target outside the face mask",
    "psnr_occluded_db": "PSNR to the target where something stands before the face",
    "psnr_face_covered_db": "PSNR inside the face mask of the pairs with something before the face",
    "psnr_face_clear_db": "the same of the other pairs",
    "hf_ratio": "energy of the finest scale inside the face mask over the truth's",
    "landmark_nme": "mean distance of 468 landmarks to the truth's, in eye distances",
    "id_cosine_source": "cosine to the source view of the source person",
    "id_cosine_target": "cosine to the source view of the target person",
    "id_margin": "the first cosine less the second",
    "id_distance_source": "Euclidean distance to the source view of the source person",
    "id_distance_target": "Euclidean distance to the source view of the target person",
    "id_top1": "share in which nobody of the gallery is nearer than the source person",
    "id_top5": "share in which fewer than five of the gallery are nearer",
    "nearer_to_source": "share nearer to the source than the unchanged target is",
    "nearer_to_strangers": "the same for everyone else of the gallery: what mere blur would give",
    "nearer_to_source_than_target": "share nearer to the source person than to the target person",
    "fid_identity": "Fréchet distance of the embeddings to the truths'; from 256 pairs on",
    "diversity": "deviation of a pixel inside the face mask from noise to noise, gray levels",
    "diversity_identity": "deviation of the embedding from noise to noise",
    "psnr_teacher_db": "PSNR to the teacher's swap inside the face mask",
    "id_cosine_teacher": "cosine to the teacher's swap",
}
"""Metric -> what it is; distances, cosines and embeddings are the judge's, `nearer` is by distance.
A row has those that mean something of it."""


PROVENANCE = (
    "model", "model_sha256", "steps", "guidance", "sampler", "precision", "model_resolution_px",
    "evaluator", "evaluator_sha256", "landmarker", "landmarker_sha256", "dataset_digest",
    "dataset_as_published", "pairs_sha256", "n", "groups", "gallery", "chance_top1", "seed",
    "seeds", "bootstrap_resamples",
)  # fmt: skip
"""Facts of every report that say what was judged, on what, by whom and how; `precision` is the
dtype that was taken. Who quotes a score quotes these."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationReport:
    """Scores of one model, and everything they depend on.

    Attributes:
        model: what was judged.
        facts: on what and by whom, as JSON values.
        rows: row -> metric -> score.
        pairs: the triplets, in order.
        swaps: (n, R, R, 3) uint8 RGB, the pasted swaps.
        embeddings: (n, D), the judge's, of the swaps.
        values: metric -> (n,) of the swaps, one entry a pair, for those that are means of pairs.
    """

    model: ModelFacts
    facts: dict[str, Any]
    rows: dict[str, Scores]
    pairs: PairList
    swaps: NDArray[np.uint8]
    embeddings: NDArray[np.floating]
    values: dict[str, NDArray[np.float64]]

    def to_json(self) -> dict[str, Any]:
        """Convert to one flat JSON object.

        The facts, then `metric`, `metric_lo`, `metric_hi` of the swap, and the same of every other
        row after the row's name and an underscore. What cannot be told from so few pairs is None.
        """
        flat = dict(self.facts)
        for row, scores in self.rows.items():
            prefix = "" if row == JUDGED else f"{row}_"
            for metric, score in scores.items():
                flat[f"{prefix}{metric}"] = score.value
                flat[f"{prefix}{metric}_lo"] = score.lo
                flat[f"{prefix}{metric}_hi"] = score.hi
        return flat


def table(reports: Sequence[EvaluationReport]) -> str:
    """Draw a table of reports, one metric a line.

    The columns are the swaps of every report, with 95 % intervals, and then the other rows, which
    are the same in all of them.
    """
    first, several = reports[0], len(reports) > 1
    columns = [
        (f"{report.model.steps} steps" if several else JUDGED, report.rows[JUDGED])
        for report in reports
    ]
    passed = {JUDGED, "unpasted"} if several else {JUDGED}
    columns += [(row, first.rows[row]) for row in ROWS if row in first.rows and row not in passed]
    lines = [["", *(title for title, _ in columns)]]
    lines += [
        [metric, *(_cell(scores.get(metric), spread=i < len(reports)) for i, (_, scores) in
                   enumerate(columns))]
        for metric in METRICS
        if metric in first.rows[JUDGED]
    ]  # fmt: skip
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(text)


def _cell(score: Score | None, *, spread: bool) -> str:
    if score is None or score.value is None:
        return "–"
    digits = 2 if abs(score.value) >= 10 else 3
    if not spread or score.lo is None or score.hi is None:
        return f"{score.value:.{digits}f}"
    return f"{score.value:.{digits}f} [{score.lo:.{digits}f}, {score.hi:.{digits}f}]"
