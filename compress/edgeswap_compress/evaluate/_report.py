"""From measures of single pairs to scores with intervals, as flat JSON and as a table.

The swap that is judged is the pasted one, because that is what a user gets; the row `unpasted`
shows what the model itself makes of the whole crop.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_compress.evaluate import _metrics
from edgeswap_compress.evaluate._metrics import Score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edgeswap_compress.evaluate._pairs import PairList

    Values = NDArray[np.float64]  # (n,)

JUDGED = "swap"
"""The row whose scores stand in the JSON without a prefix."""

ROWS: dict[str, str] = {
    "swap": "the swap, pasted by the model's mask",
    "unpasted": "the swap before it is pasted",
    "truth": "the exact truth",
    "truth_pasted": "the truth, pasted by the model's mask: what the mask lets through",
    "autoencoder": "the truth through the model's autoencoder, not pasted",
    "target_unchanged": "the target, left as it is",
    "source_pasted": "the source's crop, pasted",
}
"""Rows in the order of the table, and what each shows."""

METRICS: dict[str, str] = {
    "psnr_face_db": "PSNR to the truth inside the face mask, mean of pairs",
    "ssim_face": "SSIM of the luma to the truth inside the face mask",
    "psnr_outside_db": "PSNR to the target outside the face mask",
    "hf_ratio": "energy of the finest scale inside the face mask over the truth's",
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
}
"""Metric -> what it is; distances and cosines are the judge's, `nearer` is by distance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """Measures of one kind of picture, one entry a pair.

    Attributes:
        psnr_face_db, ssim_face, psnr_outside_db: (n,).
        fine_energy: (n,) squared grey levels.
        embeddings: (n, D), the judge's.
    """

    psnr_face_db: Values
    ssim_face: Values
    psnr_outside_db: Values
    fine_energy: Values
    embeddings: NDArray[np.floating]

    @classmethod
    def joined(cls, parts: Sequence[Row]) -> Row:
        """One row of several batches."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """What an evaluation found.

    Attributes:
        facts: what was judged, on what, by whom, as JSON values.
        rows: row -> metric -> score.
        pairs: the triplets, in order.
        swaps: (n, R, R, 3) uint8 RGB, the pasted swaps.
        values: metric -> (n,) of the swaps, one entry a pair, for those that are means of pairs.
    """

    facts: dict[str, Any]
    rows: dict[str, dict[str, Score]]
    pairs: PairList
    swaps: NDArray[np.uint8]
    values: dict[str, Values]

    @classmethod
    def of(
        cls,
        rows: Mapping[str, Row],
        *,
        gallery: NDArray[np.floating],
        pairs: PairList,
        swaps: NDArray[np.uint8],
        facts: Mapping[str, Any],
        rng: np.random.Generator,
        resamples: int,
    ) -> Report:
        """Score measured rows.

        Args:
            rows: must hold `swap`, `truth` and `target_unchanged`.
            gallery: (M, D), everybody's embedding, in the order of `PairList.source_person`.
            pairs, swaps, facts: kept as they are; counts are added to the facts.
            rng: of the bootstrap, which draws whole groups.
            resamples: of the bootstrap.
        """
        groups, clusters = np.unique(pairs.group, return_inverse=True)
        counts = _metrics.resample_counts(len(groups), resamples, rng)
        found = {
            name: measures(row, rows["truth"], rows["target_unchanged"], gallery, pairs)
            for name, row in rows.items()
        }
        scores = {
            name: {
                metric: _metrics.score(tops, bottoms, clusters, counts)
                for metric, (tops, bottoms) in parts.items()
            }
            for name, parts in found.items()
        }
        values = {
            metric: tops
            for metric, (tops, bottoms) in found[JUDGED].items()
            if (bottoms == 1).all()
        }
        counted = {
            "n": len(pairs),
            "groups": len(groups),
            "gallery": len(gallery),
            "chance_top1": 1 / len(gallery),
            "dataset_digest": pairs.dataset_digest,
            "pairs_sha256": pairs.sha256,
            "bootstrap_resamples": resamples,
        }
        facts = {**facts, **counted}
        return cls(facts=facts, rows=scores, pairs=pairs, swaps=swaps, values=values)

    def to_json(self) -> dict[str, Any]:
        """One flat object: the facts, then `metric`, `metric_lo`, `metric_hi` of the swap, and the
        same of every other row after the row's name and an underscore."""
        flat = dict(self.facts)
        for row, scores in self.rows.items():
            prefix = "" if row == JUDGED else f"{row}_"
            for metric, score in scores.items():
                flat[f"{prefix}{metric}"] = score.value
                flat[f"{prefix}{metric}_lo"] = score.lo
                flat[f"{prefix}{metric}_hi"] = score.hi
        return flat

    def table(self) -> str:
        """Metrics down, rows across; the swap's with their 95 % intervals."""
        names = [row for row in ROWS if row in self.rows]
        lines = [["", *names]]
        lines += [
            [metric, *(_cell(self.rows[name][metric], spread=name == JUDGED) for name in names)]
            for metric in METRICS
            if metric in self.rows[JUDGED]
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join(text)


def measures(
    row: Row,
    truth: Row,
    unchanged: Row,
    gallery: NDArray[np.floating],
    pairs: PairList,
) -> dict[str, tuple[Values, Values]]:
    """Every metric of a row as numerators and denominators, one a pair: see `METRICS`.

    Args:
        row: whose.
        truth: measures of the truths.
        unchanged: measures of the targets as they are.
        gallery: (M, D).
        pairs: n pairs.
    """
    source, target = pairs.source_person, pairs.target_person
    ones: Values = np.ones(len(pairs))
    every = np.arange(len(pairs))
    apart = _metrics.distances(row.embeddings, gallery)
    before = _metrics.distances(unchanged.embeddings, gallery)
    nearer = (apart < before).astype(np.float64)
    # everybody but the two people of the pair
    strangers = np.ones_like(nearer)
    strangers[every, source] = strangers[every, target] = 0.0
    rank = _metrics.ranks(apart, source)
    to_source = _metrics.cosines(row.embeddings, gallery[source])
    to_target = _metrics.cosines(row.embeddings, gallery[target])
    means: dict[str, Values] = {
        "psnr_face_db": row.psnr_face_db,
        "ssim_face": row.ssim_face,
        "psnr_outside_db": row.psnr_outside_db,
        "id_cosine_source": to_source,
        "id_cosine_target": to_target,
        "id_margin": to_source - to_target,
        "id_distance_source": apart[every, source],
        "id_distance_target": apart[every, target],
        "id_top1": (rank < 1).astype(np.float64),
        "id_top5": (rank < 5).astype(np.float64),
        "nearer_to_source": nearer[every, source],
        "nearer_to_source_than_target": (apart[every, source] < apart[every, target]).astype(
            np.float64
        ),
    }
    found: dict[str, tuple[Values, Values]] = {
        name: (values, ones) for name, values in means.items()
    }
    found["hf_ratio"] = (row.fine_energy, truth.fine_energy)
    if len(gallery) > 2:
        found["nearer_to_strangers"] = ((nearer * strangers).sum(1), strangers.sum(1))
    return {metric: found[metric] for metric in METRICS if metric in found}


def _cell(score: Score, *, spread: bool) -> str:
    digits = 2 if abs(score.value) >= 10 else 3
    if not spread or score.lo is None or score.hi is None:
        return f"{score.value:.{digits}f}"
    return f"{score.value:.{digits}f} [{score.lo:.{digits}f}, {score.hi:.{digits}f}]"
