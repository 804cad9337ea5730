"""Judging a swap model on held-out triplets whose exact truth is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_compress.evaluate import _metrics
from edgeswap_compress.evaluate._errors import CropMismatch, InvalidEvaluation
from edgeswap_compress.evaluate._models import Sampling, open_model
from edgeswap_compress.evaluate._pairs import HeldOut, PairList, held_out_pairs
from edgeswap_compress.evaluate._report import Report, Row
from edgeswap_runtime._align import TEMPLATE_96
from edgeswap_runtime._paste import paste

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgeswap_compress.evaluate._dlib import Judge
    from edgeswap_compress.evaluate._models import ModelFacts, SwapModel

    Crops = NDArray[np.uint8]  # (N, R, R, 3) RGB
    Progress = Callable[[int, int, str], None]

_TEMPLATE_TOLERANCE_PX = 0.5  # at 96 px: a shift that no measure below would notice
_WHOLE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # a crop pasted onto a crop


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """What to judge and how.

    Attributes:
        sampling: steps, guidance, precision.
        limit: judge only the first so many pairs of the list.
        batch_size: pairs at a time; changes no figure.
        seed: of the noise and of the bootstrap.
        resamples: of the bootstrap.
        pairs_sha256: refuse any other pair list.
    """

    sampling: Sampling = field(default_factory=Sampling)
    limit: int | None = None
    batch_size: int = 16
    seed: int = 0
    resamples: int = 2000
    pairs_sha256: str | None = None

    def __post_init__(self) -> None:
        for name, low in (("batch_size", 1), ("seed", 0), ("resamples", 100)):
            if getattr(self, name) < low:
                raise InvalidEvaluation(f"{name} {getattr(self, name)}: expected {low} or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The pictures of some pairs, and what stands beside them."""

    target: Crops
    source: Crops
    truth: Crops
    inside: NDArray[np.float64]  # (N, R, R), 1 in the inner face
    outside: NDArray[np.float64]  # (N, R, R), 1 where target and truth are one


def evaluate(
    model: Path | str | SwapModel,
    dataset: HeldOut,
    config: EvaluateConfig,
    *,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Report:
    """Judge a model by what its swaps look like beside the exact truth.

    Args:
        model: folder of a checkpoint or a bundle, or a model already open.
        dataset: rendered of people the model was never trained on.
        config: what to judge and how.
        judge: of identity; dlib's recogniser when None.
        progress: called with pairs done, pairs in all, and what is being done.

    Returns:
        scores of the swaps and of the reference rows, with 95 % intervals.

    Raises:
        EvaluateError: the model, the dataset and the config do not go together.
        AssetMissing: the judge's weights were not fetched.
    """
    pairs = held_out_pairs(dataset).first(config.limit)
    pairs.check(config.pairs_sha256)
    if not isinstance(model, str | Path):
        return _judged(model, dataset, pairs, config, judge, progress)
    with open_model(model, config.sampling) as opened:
        return _judged(opened, dataset, pairs, config, judge, progress)


def _judged(
    model: SwapModel,
    dataset: HeldOut,
    pairs: PairList,
    config: EvaluateConfig,
    judge: Judge | None,
    progress: Progress | None,
) -> Report:
    facts = model.facts
    _check_crops(facts, dataset)
    if judge is None:
        from edgeswap_compress.evaluate._dlib import DlibJudge

        judge = DlibJudge(facts.landmarks_px, threads=config.sampling.threads)
    say = progress or (lambda done, total, text: None)
    say(0, len(pairs), "looking at the gallery")
    gallery = gallery_embeddings(dataset, judge)
    parts: dict[str, list[Row]] = {}
    swaps = []
    for start in range(0, len(pairs), config.batch_size):
        some = pairs.pick(np.arange(start, min(start + config.batch_size, len(pairs))))
        batch = _gather(dataset, some)
        noise = some.noise(config.seed, facts.latent_shape)
        unpasted = model.swap(batch.target, batch.source, noise)
        shown = {
            "swap": pasted(unpasted, batch.target, facts),
            "unpasted": unpasted,
            **reference_rows(model, batch.target, batch.source, batch.truth),
        }
        swaps.append(shown["swap"])
        for name, pictures in shown.items():
            parts.setdefault(name, []).append(_measure(pictures, batch, judge))
        say(start + len(some), len(pairs), "swapping and judging")
    return Report.of(
        {name: Row.joined(rows) for name, rows in parts.items()},
        gallery=gallery,
        pairs=pairs,
        swaps=np.concatenate(swaps),
        facts=_facts(facts, judge, config),
        rng=np.random.default_rng(config.seed),
        resamples=config.resamples,
    )


def gallery_embeddings(dataset: HeldOut, judge: Judge) -> NDArray[np.float32]:
    """The judge's view of every person of a dataset: (groups * K, D), by their source views."""
    k = dataset.identities
    return np.concatenate([judge.embed(dataset.images(g)[:k]) for g in range(len(dataset))])


def reference_rows(
    model: SwapModel, target: Crops, source: Crops, truth: Crops
) -> dict[str, Crops]:
    """What to hold a swap against: ceilings and floors.

    Returns:
        `truth`; `truth_pasted`, what the model's mask lets through of it; `autoencoder`, the truth
        through the model's autoencoder (absent for a bundle); `target_unchanged`; `source_pasted`,
        the source's crop as it is, pasted.
    """
    rows = {"truth": truth, "truth_pasted": pasted(truth, target, model.facts)}
    reconstructed = model.reconstruct(truth)
    if reconstructed is not None:
        rows["autoencoder"] = reconstructed
    rows["target_unchanged"] = target
    rows["source_pasted"] = pasted(source, target, model.facts)
    return rows


def pasted(crops: Crops, targets: Crops, facts: ModelFacts) -> Crops:
    """Crops blended into their targets by the model's mask, as the runtime does it in a picture."""
    results = np.array(targets)
    for result, crop in zip(results, crops, strict=True):
        paste(result, crop.astype(np.float32), _WHOLE, facts.mask)
    return results


def _gather(dataset: HeldOut, pairs: PairList) -> _Batch:
    def pictures(positions: NDArray[np.int64]) -> Crops:
        return np.stack(
            [dataset.images(int(g))[p] for g, p in zip(pairs.group, positions, strict=True)]
        )

    masks = np.stack(
        [
            np.maximum(dataset.masks(int(g))[t], dataset.masks(int(g))[u])
            for g, t, u in zip(pairs.group, pairs.target, pairs.truth, strict=True)
        ]
    )
    return _Batch(
        target=pictures(pairs.target),
        source=pictures(pairs.source),
        truth=pictures(pairs.truth),
        inside=masks / 255.0,
        outside=(masks == 0).astype(np.float64),
    )


def _measure(pictures: Crops, batch: _Batch, judge: Judge) -> Row:
    return Row(
        psnr_face_db=_metrics.psnr(pictures, batch.truth, batch.inside),
        ssim_face=_metrics.ssim(pictures, batch.truth, batch.inside),
        psnr_outside_db=_metrics.psnr(pictures, batch.target, batch.outside),
        fine_energy=_metrics.fine_energy(pictures, batch.inside),
        embeddings=judge.embed(pictures),
    )


def _check_crops(facts: ModelFacts, dataset: HeldOut) -> None:
    size = dataset.images(0).shape[1]
    if size != facts.resolution_px:
        raise CropMismatch("resolution", expected=f"{facts.resolution_px} px", found=f"{size} px")
    # datasets are rendered to this template, scaled to their size
    rendered = TEMPLATE_96 * size / 96
    apart = float(np.abs(np.array(facts.landmarks_px) - rendered).max()) * 96 / size
    if apart > _TEMPLATE_TOLERANCE_PX:
        raise CropMismatch(
            "alignment", expected="its own landmarks_px", found=f"up to {apart:.1f} px from them"
        )


def _facts(facts: ModelFacts, judge: Judge, config: EvaluateConfig) -> dict[str, Any]:
    return {
        "model": facts.kind,
        "model_sha256": facts.sha256,
        "steps": facts.steps,
        "guidance": facts.guidance,
        "sampler": facts.sampler,
        "precision": facts.precision,
        "evaluator": judge.name,
        "evaluator_sha256": judge.sha256,
        "seed": config.seed,
    }
