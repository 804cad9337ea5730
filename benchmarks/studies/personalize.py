"""Does personalizing a student to one person improve swaps to them, and leave others' as they were?

A numbered portrait person, of no dataset, is the person. Five renders are the photos; a sixth is
the source of the judged swaps into other people's scenes, whose exact truths are rendered too. A
recognizer that conditioned nothing ranks the person in a gallery of the held-out people. The others
are the pairs of a held-out set. Before and after start from the same noise; each change has a 95 %
interval (bootstrap over pairs).

    python benchmarks/studies/personalize.py OUT --student S --held-out faces-heldout
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgeswap_compress import default_checkpoint
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.data import read_dataset
from edgeswap_compress.data.people.camera import template
from edgeswap_compress.data.render3.portrait import portrait_of
from edgeswap_compress.evaluate import (
    DlibJudge,
    EvaluateConfig,
    Evaluation,
    EvaluationReport,
    Sampling,
    metrics,
    open_model,
)
from edgeswap_compress.evaluate.pictures import pasted, people
from edgeswap_compress.fit.config import changed
from edgeswap_compress.personalize.config import PersonalizeConfig
from edgeswap_compress.personalize.stage import personalize
from edgeswap_compress.progress import stage_progress
from edgeswap_runtime.faces.align import similarity, warp
from edgeswap_runtime.pictures.write import RENDERED, save_marked

CONSENT = "nobody (a rendered person), at any time, to measure personalization"
PHOTO_SCENES = range(5)
SOURCE_SCENE, VIEW_SCENE = 5, 6
OTHERS = ("psnr_face_db", "id_cosine_source", "id_margin", "id_top1", "id_top5")
Crops = NDArray[np.uint8]


def crop_of(person: int, scene: int, size_px: int, worn: int | None = None) -> tuple[Crops, Crops]:
    """A portrait's aligned crop, and its mask."""
    picture = portrait_of(person, scene, 3 * size_px, worn=worn)
    matrix = similarity(picture.landmarks, template(size_px))
    mask = np.repeat(picture.mask[..., None], 3, axis=2)
    return warp(picture.image, matrix, size_px), warp(mask, matrix, size_px)[..., 0]


@dataclass(frozen=True, kw_only=True)
class PersonPairs:
    """Swaps to the person whose truths are known, (n, R, R, 3) each; masks (n, R, R) in [0, 1]."""

    photos: Crops
    view: Crops
    source: Crops
    target: Crops
    truth: Crops
    mask: NDArray[np.float64]


def person_pairs(person: int, count: int, size_px: int) -> PersonPairs:
    """Render everything of the person."""
    photos = [crop_of(person, scene, size_px)[0] for scene in PHOTO_SCENES]
    rows = []
    for i in range(count):
        wearer, scene = person + 1 + i, 100 + i
        target, mask = crop_of(wearer, scene, size_px)
        truth, other = crop_of(wearer, scene, size_px, worn=person)
        rows.append((target, truth, np.maximum(mask, other) / 255))
    target, truth, mask = (np.stack(column) for column in zip(*rows, strict=True))
    source = crop_of(person, SOURCE_SCENE, size_px)[0]
    return PersonPairs(
        photos=np.stack(photos),
        view=crop_of(person, VIEW_SCENE, size_px)[0][None],
        source=np.repeat(source[None], count, axis=0),
        target=target,
        truth=truth,
        mask=np.asarray(mask, np.float64),
    )


def judge_person(
    checkpoint: Path, shown: PersonPairs, judge: DlibJudge, gallery: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    """PSNR to the truth, cosine to another view of the person, and rank in the gallery, a pair."""
    with open_model(checkpoint, Sampling()) as model:
        rng = np.random.default_rng(0)
        shape = (len(shown.target), *model.facts.latent_shape)
        noise = rng.standard_normal(shape, dtype=np.float32)
        swaps = pasted(
            model.swap(shown.target, shown.source, noise), shown.target, model.facts.mask
        )
    return measure(swaps, shown, judge, gallery)


def measure(
    swaps: Crops, shown: PersonPairs, judge: DlibJudge, gallery: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    """The same of any pictures."""
    embedded, view = judge.embed(swaps), judge.embed(shown.view)
    apart = metrics.distances(embedded, np.concatenate([view, gallery]))
    return {
        "psnr_face_db": np.asarray(metrics.psnr(swaps, shown.truth, shown.mask), np.float64),
        "cosine": np.asarray(
            metrics.cosines(embedded, np.repeat(view, len(embedded), axis=0)), np.float64
        ),
        "rank": 1.0 + metrics.ranks(apart, np.zeros(len(apart), np.int64)).astype(np.float64),
    }


def change(before: NDArray[np.float64], after: NDArray[np.float64]) -> dict[str, float]:
    """Means, and the mean change with its 95 % bootstrap interval over pairs."""
    apart = np.asarray(after, np.float64) - before
    picks = np.random.default_rng(0).integers(len(apart), size=(4000, len(apart)))
    lo, hi = np.percentile(apart[picks].mean(1), [2.5, 97.5])
    return {"before": float(np.mean(before)), "after": float(np.mean(after)),
            "change": float(apart.mean()), "lo": float(lo), "hi": float(hi)}  # fmt: skip


def judge_others(checkpoint: Path, evaluation: Evaluation) -> EvaluationReport:
    """The held-out pairs."""
    with open_model(checkpoint, Sampling()) as model:
        return evaluation.judge(model)


def study(args: argparse.Namespace) -> dict[str, Any]:
    """Render, personalize, judge."""
    dataset = read_dataset(args.held_out)
    size_px = int(dataset.images(0).shape[1])
    shown = person_pairs(args.person, args.pairs, size_px)
    photos = args.out / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    for i, photo in enumerate(shown.photos):
        save_marked(photos / f"{i}.png", photo, RENDERED, overwrite=True)
    out = args.out / "student"
    if not out.exists():
        config = changed(
            PersonalizeConfig(consent=CONSENT, prior_weight=args.prior_weight),
            {"budget.samples": args.samples},
        )
        with stage_progress() as report:
            personalize(
                args.student, config, out, photos=photos, data=args.data, run=args.out / "run",
                aligned=True, progress=report,
            )  # fmt: skip
    judge = DlibJudge(template(size_px))
    gallery = judge.embed(people(dataset))
    both = (args.student, out)
    person = [judge_person(path, shown, judge, gallery) for path in both]
    bounds = {name: measure(getattr(shown, name), shown, judge, gallery)
              for name in ("truth", "target")}  # fmt: skip
    evaluation = Evaluation(dataset, EvaluateConfig(limit=args.limit, seeds=1), judge=judge)
    others = [judge_others(path, evaluation).values for path in both]
    return {
        "photos": len(shown.photos),
        "pairs": len(shown.target),
        "gallery": len(gallery) + 1,
        "person": {name: change(person[0][name], person[1][name]) for name in person[0]},
        "bounds": {row: {name: float(v.mean()) for name, v in found.items()}
                   for row, found in bounds.items()},
        "others_pairs": args.limit,
        "others": {name: change(others[0][name], others[1][name]) for name in OTHERS},
    }  # fmt: skip


def main() -> int:
    """Measure and print."""
    args = _arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    found = study(args)
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    print(f"{'':26}{'before':>9}{'after':>9}{'change':>9}   95 % interval")
    for who in ("person", "others"):
        for name, row in found[who].items():
            cells = "".join(f"{row[key]:9.3f}" for key in ("before", "after", "change"))
            print(f"{who + ' ' + name:26}{cells}   [{row['lo']:.3f}, {row['hi']:.3f}]")
    for row, values in found["bounds"].items():
        told = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        print(f"the {row} itself: {told}")
    print(
        f"{found['photos']} photos; {found['pairs']} pairs of the person, ranked among "
        f"{found['gallery']}; {found['others_pairs']} pairs of others"
    )
    return 0


def _arguments() -> argparse.Namespace:
    usual = PersonalizeConfig(consent=CONSENT)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for photos and the personalized student")
    parser.add_argument(
        "--student",
        type=Path,
        default=default_checkpoint("student"),
        help="checkpoint (the packaged student)",
    )
    parser.add_argument("--held-out", type=Path, required=True, help="rendered held-out dataset")
    parser.add_argument("--data", type=Path, default=calibration_dataset(), help="for the prior")
    parser.add_argument("--person", type=int, default=1000, help="number of the portrait person")
    parser.add_argument("--pairs", type=int, default=32, help="judged swaps to the person")
    parser.add_argument("--limit", type=int, default=256, help="judged pairs of others")
    parser.add_argument(
        "--samples", type=int, default=usual.budget.samples, help="training samples"
    )
    parser.add_argument(
        "--prior-weight", type=float, default=usual.prior_weight, help="weight of the prior's loss"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
