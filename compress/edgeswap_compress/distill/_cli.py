"""``edgeswap distill``: a few-step student from a many-step teacher."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from edgeswap_compress.distill._config import DistillConfig


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(argv)
    import torch

    from edgeswap_compress._defaults import calibration_dataset
    from edgeswap_compress._progress import stage_progress
    from edgeswap_compress.distill._distill import distill
    from edgeswap_compress.train._trackers import open_tracker

    if args.threads:
        torch.set_num_threads(args.threads)
    config = DistillConfig(
        steps=args.steps,
        minutes=args.minutes,
        teacher_steps=args.teacher_steps,
        teacher_guidance=args.teacher_guidance,
        targets=args.targets,
        truth_weight=args.truth_weight,
        batch_size=args.batch_size,
        seed=args.seed,
    )
    run = args.run or args.out.with_name(args.out.name + ".run")
    tracker = open_tracker(args.tracker, run / "tracker")
    begun = time.monotonic()
    with stage_progress() as report:
        out = distill(
            args.teacher,
            args.student,
            args.out,
            config,
            data=args.data or calibration_dataset(),
            run=run,
            tracker=tracker,
            progress=report,
        )
    if tracker is not None:
        tracker.close()
    seconds = time.monotonic() - begun
    if args.json:
        print(json.dumps({"checkpoint": str(out), "run": str(run), "seconds": seconds}))
    else:
        print(f"wrote {out} after {seconds / 60:.1f} minutes; {run} can be removed")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap distill",
        description="Teach a student (the teacher itself or a pruned one) to swap in few steps.",
    )
    parser.add_argument("teacher", type=Path, help="checkpoint that answers")
    parser.add_argument("student", type=Path, help="checkpoint to start from")
    parser.add_argument("out", type=Path, help="checkpoint folder to write")
    parser.add_argument("--steps", type=int, default=1, help="sampling steps of the student")
    parser.add_argument("--minutes", type=float, default=10.0, help="time for the fitting")
    parser.add_argument("--data", type=Path, default=None, help="dataset (default: packaged)")
    parser.add_argument("--run", type=Path, default=None, help="state folder (default: OUT.run)")
    parser.add_argument("--teacher-steps", type=int, default=4)
    parser.add_argument("--teacher-guidance", type=float, default=None)
    parser.add_argument("--targets", type=int, default=1024, help="teacher trajectories")
    parser.add_argument("--truth-weight", type=float, default=0.5, help="0: teacher, 1: truth")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--tracker", choices=("none", "tensorboard", "wandb"), default="none")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
