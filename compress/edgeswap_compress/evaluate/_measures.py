"""Measures of one kind of picture, pair by pair, before anything is averaged."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.evaluate import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgeswap_compress.evaluate._pairs import PairList

    Values = NDArray[np.float64]  # (n,)
    Ratio = tuple[Values, Values]  # numerators and denominators, one a pair


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureMeasures:
    """Measures of one kind of picture, one entry a pair.

    Attributes:
        psnr_face_db, ssim_face, psnr_outside_db, landmark_nme: (n,).
        psnr_occluded_db: (n,), NaN where nothing stands before the face.
        fine_energy: (n,) squared gray levels.
        embeddings: (n, D), the judge's.
    """

    psnr_face_db: Values
    ssim_face: Values
    psnr_outside_db: Values
    psnr_occluded_db: Values
    landmark_nme: Values
    fine_energy: Values
    embeddings: NDArray[np.floating]

    @classmethod
    def joined(cls, parts: Sequence[PictureMeasures]) -> PictureMeasures:
        """Join the rows of several batches."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def means(values: Values, n: int | None = None) -> Ratio:
    """Average one value for each pair; of n pairs those beyond the values are left out."""
    missing = (n or len(values)) - len(values)
    return np.pad(values, (0, missing)), np.pad(np.ones(len(values)), (0, missing))


def measures(
    row: PictureMeasures,
    truth: PictureMeasures,
    unchanged: PictureMeasures,
    gallery: NDArray[np.floating],
    pairs: PairList,
) -> dict[str, Ratio]:
    """Compute every metric of a row that is a ratio of sums over pairs, see `METRICS`.

    Args:
        row: whose.
        truth: measures of the truths.
        unchanged: measures of the targets as they are.
        gallery: (M, D), everybody's embedding, in the order of `PairList.source_person`.
        pairs: n pairs.
    """
    source, target = pairs.source_person, pairs.target_person
    every = np.arange(len(pairs))
    apart = metrics.distances(row.embeddings, gallery)
    before = metrics.distances(unchanged.embeddings, gallery)
    to_source, to_target = apart[every, source], apart[every, target]
    like_source = metrics.cosines(row.embeddings, gallery[source])
    like_target = metrics.cosines(row.embeddings, gallery[target])
    rank = metrics.ranks(apart, source)
    nearer = (apart < before).astype(np.float64)
    found = {
        "psnr_face_db": row.psnr_face_db,
        "ssim_face": row.ssim_face,
        "psnr_outside_db": row.psnr_outside_db,
        "landmark_nme": row.landmark_nme,
        "id_cosine_source": like_source,
        "id_cosine_target": like_target,
        "id_margin": like_source - like_target,
        "id_distance_source": to_source,
        "id_distance_target": to_target,
        "id_top1": (rank < 1).astype(np.float64),
        "id_top5": (rank < 5).astype(np.float64),
        "nearer_to_source": nearer[every, source],
        "nearer_to_source_than_target": (to_source < to_target).astype(np.float64),
    }
    ratios = {name: means(values) for name, values in found.items()}
    covered = np.isfinite(row.psnr_occluded_db)
    if covered.any():
        ratios["psnr_occluded_db"] = (
            np.where(covered, row.psnr_occluded_db, 0.0), covered.astype(np.float64)
        )  # fmt: skip
        for name, chosen in (("covered", covered), ("clear", ~covered)):
            if chosen.any():
                kept = chosen.astype(np.float64)
                ratios[f"psnr_face_{name}_db"] = (row.psnr_face_db * kept, kept)
    ratios["hf_ratio"] = (row.fine_energy, truth.fine_energy)
    if len(gallery) > 2:
        # everybody but the two people of the pair
        strangers = np.ones_like(nearer)
        strangers[every, source] = strangers[every, target] = 0.0
        ratios["nearer_to_strangers"] = ((nearer * strangers).sum(1), strangers.sum(1))
    return ratios
