"""``edgeswap distill``: a few-step student from a many-step teacher."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from edgeswap_compress._checks import (
    OPTIMIZERS,
    RUN_BYTES,
    check_checkpoint,
    check_habits,
    check_out,
    check_run,
)
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.data.checks import check_dataset
from edgeswap_compress.distill._compatibility import check_autoencoder, check_one_latent_space
from edgeswap_compress.distill.config import METHODS, DistillConfig
from edgeswap_compress.fit.dtype import AUTO, DTYPES, dtype_line

USUAL = DistillConfig()
"""Whose defaults the options have."""


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    if argv and argv[0] == "autoencoder":
        from edgeswap_compress.distill.autoencoder.cli import command as autoencoder

        return autoencoder(argv[1:])
    args = _parser().parse_args(argv)
    config = _config(args)
    run = args.run or args.out.with_name(args.out.name + ".run")
    data = args.data or calibration_dataset()
    _check(args, data, run)
    import torch

    from edgeswap_compress._progress import stage_progress
    from edgeswap_compress.distill.stage import distill
    from edgeswap_compress.fit.loop import Cadence
    from edgeswap_compress.fit.processes import processes
    from edgeswap_compress.fit.trackers import open_tracker

    if args.threads:
        torch.set_num_threads(args.threads)
    print(dtype_line(args.dtype), file=sys.stderr)
    cadence = Cadence(
        save_s=args.save_every,
        evaluate_s=args.evaluate_every,
        stop_after_s=None if args.stop_after is None else args.stop_after * 60.0,
    )
    where = {"data": data, "run": run, "held_out": args.held_out, "cadence": cadence,
             "autoencoder": args.autoencoder}  # fmt: skip
    inputs = (args.teacher, args.student, args.out)
    if not processes().main:  # the first process tells
        distill(*inputs, config, **where)
        return 0
    tracker = open_tracker(args.tracker, run / "tracker")
    begun = time.monotonic()
    with stage_progress() as report:
        out = distill(*inputs, config, **where, tracker=tracker, progress=report)
    if tracker is not None:
        tracker.close()
    seconds = time.monotonic() - begun
    if args.json:
        path = None if out is None else str(out)
        print(json.dumps({"checkpoint": path, "run": str(run), "seconds": seconds}))
    elif out is None:
        print(f"stopped early; the same command continues {run}")
    else:
        print(f"wrote {out} after {seconds / 60:.1f} minutes; {run} can be removed")
    return 0


def _check(args: argparse.Namespace, data: Path, run: Path) -> None:
    """Check everything that is known before the work begins."""
    check_habits(args)
    check_out(args.out, need_bytes=RUN_BYTES)
    check_run(run)
    teacher, student = check_checkpoint(args.teacher), check_checkpoint(args.student)
    check_one_latent_space(teacher, student)
    if args.autoencoder is not None:
        check_autoencoder(args.autoencoder, check_checkpoint(args.autoencoder), student)
    for path in (data, args.held_out):
        if path is not None:
            check_dataset(path, teacher)


def _config(args: argparse.Namespace) -> DistillConfig:
    return DistillConfig(
        method=args.method,
        steps=args.steps,
        minutes=args.minutes,
        samples=args.samples,
        teacher_steps=max(METHODS[args.method], args.steps)
        if args.teacher_steps is None
        else args.teacher_steps,
        teacher_guidance=args.teacher_guidance,
        targets=args.targets,
        truth_weight=args.truth_weight,
        identity_weight=args.identity_weight,
        judge_samples=args.judge_samples,
        fine_weight=args.fine_weight,
        metric_share=args.metric_share,
        feature_weight=args.feature_weight,
        critic_updates=args.critic_updates,
        adversarial_weight=args.adversarial_weight,
        decoder_share=args.decoder_share,
        decoder_fine_weight=args.decoder_fine_weight,
        decoder_adversarial_weight=args.decoder_adversarial_weight,
        patience=args.patience,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        optimizer=args.optimizer,
        dtype=args.dtype,
        seed=args.seed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap distill",
        description="Teach a student (the teacher itself or a pruned one) to swap in few steps "
        "without guidance. Stop it at any time; the same command goes on.",
        epilog="edgeswap distill autoencoder --help: a small encoder and decoder.",
    )
    parser.add_argument("teacher", type=Path, help="checkpoint that answers")
    parser.add_argument(
        "student", type=Path, help="checkpoint to start from: the teacher again or a pruned one"
    )
    parser.add_argument("out", type=Path, help="checkpoint folder to write")
    parser.add_argument(
        "--autoencoder", type=Path, metavar="CHECKPOINT",
        help="give the student this one's small autoencoder",
    )  # fmt: skip
    parser.add_argument("--method", choices=list(METHODS), default=USUAL.method)
    parser.add_argument(
        "--steps", type=int, default=USUAL.steps, help="sampling steps of the student"
    )
    parser.add_argument("--data", type=Path, help="dataset (default: the small packaged one)")
    parser.add_argument("--held-out", type=Path, metavar="DATASET", help="for figures and preview")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=float, default=USUAL.minutes, help="wall time of all phases"
    )
    length.add_argument("--samples", type=int, help="instead: images to learn from, in all phases")
    parser.add_argument("--run", type=Path, help="state folder (default: OUT.run)")
    _add_teacher(parser)
    _add_terms(parser)
    _add_fitting(parser)
    return parser


def _add_teacher(parser: argparse.ArgumentParser) -> None:
    teacher = parser.add_argument_group("teacher")
    defaults = ", ".join(f"{method} {steps}" for method, steps in METHODS.items())
    teacher.add_argument("--teacher-steps", type=int, metavar="N", help=f"(default: {defaults})")
    teacher.add_argument("--teacher-guidance", type=float, metavar="G", help="(default: its own)")
    teacher.add_argument("--targets", type=int, default=USUAL.targets, help="trajectories to cache")


def _add_terms(parser: argparse.ArgumentParser) -> None:
    terms = parser.add_argument_group("loss terms")
    terms.add_argument(
        "--truth-weight", type=float, default=USUAL.truth_weight, help="0: teacher, 1: truth"
    )
    terms.add_argument("--identity-weight", type=float, default=USUAL.identity_weight)
    terms.add_argument(
        "--judge-samples", type=int, default=USUAL.judge_samples, metavar="N",
        help="train a fresh identity encoder for that loss (default 0: the teacher's own)",
    )  # fmt: skip
    terms.add_argument(
        "--fine-weight",
        type=float,
        default=USUAL.fine_weight,
        help="energy of the finest scale, decoded",
    )
    terms.add_argument(
        "--metric-share",
        type=float,
        default=USUAL.metric_share,
        help="0: errors of latents, 1: as pixels show",
    )
    terms.add_argument(
        "--feature-weight",
        type=float,
        default=USUAL.feature_weight,
        help="the teacher's block outputs",
    )
    terms.add_argument(
        "--decoder-share", type=float, default=USUAL.decoder_share,
        help="of the time, for the decoder to learn from the student's own swaps; 1: of a finished "
        "student nothing but that",
    )  # fmt: skip
    terms.add_argument(
        "--decoder-fine-weight",
        type=float,
        default=USUAL.decoder_fine_weight,
        help="energy of the finest scale, then",
    )
    terms.add_argument(
        "--decoder-adversarial-weight", type=float, default=USUAL.decoder_adversarial_weight,
        help="of a discriminator of pictures, then",
    )  # fmt: skip
    terms.add_argument(
        "--critic-updates",
        type=int,
        default=USUAL.critic_updates,
        help="dmd2: for one of the student",
    )
    terms.add_argument(
        "--adversarial-weight", type=float, default=USUAL.adversarial_weight, help="dmd2"
    )


def _add_fitting(parser: argparse.ArgumentParser) -> None:
    fitting = parser.add_argument_group("fitting")
    fitting.add_argument("--batch-size", type=int, default=USUAL.batch_size)
    fitting.add_argument("--learning-rate", type=float, default=USUAL.learning_rate)
    fitting.add_argument("--optimizer", choices=OPTIMIZERS, default=USUAL.optimizer)
    fitting.add_argument(
        "--dtype", choices=DTYPES, default=AUTO,
        help="that torch computes in (default auto: the faster one here)",
    )  # fmt: skip
    fitting.add_argument("--seed", type=int, default=USUAL.seed)
    fitting.add_argument(
        "--patience", type=int, default=USUAL.patience, metavar="N",
        help="end after N evaluations without a better distance to the truth (default 0: never)",
    )  # fmt: skip
    fitting.add_argument("--threads", type=int, help="CPU threads (default: all)")
    fitting.add_argument("--tracker", choices=("none", "tensorboard", "wandb"), default="none")
    fitting.add_argument("--save-every", type=float, default=60.0, metavar="SECONDS")
    fitting.add_argument("--evaluate-every", type=float, default=60.0, metavar="SECONDS")
    fitting.add_argument("--stop-after", type=float, metavar="MINUTES")
    fitting.add_argument("--json", action="store_true", help="print one JSON object")
