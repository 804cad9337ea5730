"""Judge a model on photographs: nobody knows the truth, but much can be measured without it.

A person's own face on the same picture should change nothing: that is a swap with a truth. A
stranger's face should bring the judge nearer to the stranger. What stands before a face should
stay. Pictures are read and never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.evaluate import metrics
from edgeswap_compress.evaluate.judges.landmarks import eye_distances
from edgeswap_compress.evaluate.photos.conditions import CONDITIONS, put_in
from edgeswap_compress.evaluate.pictures import pasted
from edgeswap_compress.evaluate.resized import of_form, resized
from edgeswap_runtime.faces.align import TEMPLATE_96
from edgeswap_runtime.faces.paste import mask_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgeswap_compress.evaluate.judges.dlib import Judge
    from edgeswap_compress.evaluate.judges.landmarks import Landmarker
    from edgeswap_compress.evaluate.models import SwapModel
    from edgeswap_runtime.bundle.manifest import Mask

    Crops = NDArray[np.uint8]  # (N, R, R, 3) RGB
    Progress = Callable[[int, int, str], None]

PHOTO_METRICS: dict[str, str] = {
    "self_psnr_db": "PSNR inside the mask of the swap with the photo's own face, to the photo",
    "self_cosine": "judge's cosine of that swap to the photo",
    "self_landmark_nme": "mean distance of its 468 landmarks to the photo's, in eye distances",
    "self_sharpness": "its finest detail inside the mask over the photo's",
    "copy_cosine": "judge's cosine of the photo, only resized as for the model, to the photo",
    "cosine_source": "judge's cosine of the swap with a rendered face to that source",
    "cosine_target": "the same to the photo",
    "before_cosine_source": "the same of the photo left alone to the source",
    "contrast": "finest detail of that swap inside the mask over its surroundings', over the "
    "photo's same ratio",
    "occluded_psnr_db": "PSNR to the photo where the bar stands",
}
"""Metric -> what it is; means over the photos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoReport:
    """Figures of a model on photographs.

    Attributes:
        photos: how many.
        rows: condition -> metric -> mean over the photos.
        each: condition -> metric -> (photos,) values.
    """

    photos: int
    rows: dict[str, dict[str, float]]
    each: dict[str, dict[str, NDArray[np.float64]]]


def judge_photos(
    model: SwapModel,
    crops: Crops,
    sources: Crops,
    *,
    judge: Judge,
    landmarker: Landmarker,
    seed: int = 0,
    conditions: tuple[str, ...] = CONDITIONS,
    progress: Progress | None = None,
) -> PhotoReport:
    """Swap photographs with themselves and with rendered faces, in every condition.

    Args:
        model: opened; crops of another side or alignment than its own are re-cut for it, and
            back.
        crops: (N, R, R, 3) uint8 RGB, aligned photographs.
        sources: (N, R, R, 3), a rendered face for each.
        judge: of identity.
        landmarker: of pose and expression.
        seed: of the noise.
        conditions: of `CONDITIONS`.
        progress: called with conditions done, conditions in all, and what is being done.
    """
    side, own = crops.shape[1], model.facts.resolution_px
    whole = of_form(model, TEMPLATE_96 * side / 96, side)
    each: dict[str, dict[str, NDArray[np.float64]]] = {}
    for number, condition in enumerate(conditions):
        if progress is not None:
            progress(number, len(conditions), condition)
        shown, bar = put_in(condition, crops)
        found = _measured(whole, shown, sources, bar, judge, landmarker, seed)
        copy = resized(resized(shown, own), side)
        found["copy_cosine"] = metrics.cosines(judge.embed(copy), judge.embed(shown))
        each[condition] = found
    rows = {
        condition: {name: float(values.mean()) for name, values in found.items()}
        for condition, found in each.items()
    }
    return PhotoReport(photos=len(crops), rows=rows, each=each)


def _measured(
    model: SwapModel,
    shown: Crops,
    sources: Crops,
    bar: NDArray[np.float64],
    judge: Judge,
    landmarker: Landmarker,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Measure the swaps of photographs in one condition, photo by photo."""
    mask, noise = model.facts.mask, _noise(model, len(shown), seed)
    itself = pasted(model.swap(shown, shown, noise), shown, mask)
    other = pasted(model.swap(shown, sources, noise), shown, mask)
    face = np.broadcast_to(_face(mask, shown.shape[1]), shown.shape[:3])
    free, around = face * (1 - bar), (face == 0).astype(np.float64)
    landmarks = landmarker.find(shown)
    embedded, source = judge.embed(shown), judge.embed(sources)
    swapped = judge.embed(other)
    found = {
        "self_psnr_db": metrics.psnr(itself, shown, free),
        "self_cosine": metrics.cosines(judge.embed(itself), embedded),
        "self_landmark_nme": metrics.landmark_error(
            landmarker.find(itself), landmarks, eye_distances(landmarks, landmarker.eye_corners)
        ),
        "self_sharpness": _over(
            metrics.fine_energy(itself, free), metrics.fine_energy(shown, free)
        ),
        "cosine_source": metrics.cosines(swapped, source),
        "cosine_target": metrics.cosines(swapped, embedded),
        "before_cosine_source": metrics.cosines(embedded, source),
        "contrast": _over(
            _over(metrics.fine_energy(other, free), metrics.fine_energy(other, around)),
            _over(metrics.fine_energy(shown, free), metrics.fine_energy(shown, around)),
        ),
    }
    if bar.any():
        found["occluded_psnr_db"] = metrics.psnr(other, shown, face * bar)
    return found


def _face(mask: Mask, side: int) -> NDArray[np.float64]:
    """Give where a swap is pasted: (side, side), 0 outside."""
    y, x = np.mgrid[:side, :side].astype(np.float64)
    return mask_weights(mask, x, y, side).astype(np.float64)


def _over(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = top / np.maximum(bottom, 1e-6)
    return ratio


def _noise(model: SwapModel, count: int, seed: int) -> NDArray[np.float32]:
    """Draw each photo's start of the sampling, a function of the seed and its number alone."""
    shape = model.facts.latent_shape
    draws = [
        np.random.default_rng([seed, number]).standard_normal(shape, dtype=np.float32)
        for number in range(count)
    ]
    return np.stack(draws)
