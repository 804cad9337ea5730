"""``edgeswap distill``: a few-step student from a many-step teacher."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgeswap_compress.distill._compatibility import DistillFiles, check_distillation
from edgeswap_compress.distill.config import METHODS, DistillConfig
from edgeswap_compress.fit.cli import (
    MACHINE_FIELDS,
    add_budget,
    add_habits,
    add_machine,
    add_optimization,
    add_run,
    config_of,
    fit_command,
)

USUAL = DistillConfig()
"""Whose defaults the options have."""

FIELDS = {
    "method": "method",
    "steps": "steps",
    "minutes": "budget.minutes",
    "samples": "budget.samples",
    "patience": "budget.patience",
    "teacher_steps": "teacher.steps",
    "teacher_guidance": "teacher.guidance",
    "targets": "teacher.targets",
    "truth_weight": "losses.truth_weight",
    "identity_weight": "losses.identity.weight",
    "judge_samples": "losses.judge_samples",
    "fine_weight": "losses.fine_weight",
    "metric_share": "losses.metric_share",
    "feature_weight": "losses.feature_weight",
    "critic_updates": "dmd2.critic_updates",
    "adversarial_weight": "dmd2.adversarial_weight",
    "self_share": "pairs.self_share",
    "decoder_share": "decoder.share",
    "decoder_fine_weight": "decoder.fine_weight",
    "decoder_adversarial_weight": "decoder.adversarial_weight",
    "batch_size": "fit.batch_size",
    "learning_rate": "fit.learning_rate",
    "optimizer": "fit.optimizer",
    **MACHINE_FIELDS,
    "seed": "fit.seed",
}
"""Option -> field of the config."""


def command(argv: list[str]) -> int:
    """Run ``edgeswap distill``.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    args = build_parser().parse_args(argv)
    config = _config(args)

    def check(**folders: Any) -> None:
        files = DistillFiles(
            teacher=args.teacher,
            student=args.student,
            autoencoder=args.autoencoder,
            recognizer=args.judge,
            **folders,
        )
        check_distillation(files, args.out, config)

    def stage(**given: Any) -> Path | None:
        from edgeswap_compress.distill.stage import distill

        return distill(
            args.teacher,
            config,
            args.out,
            student=args.student,
            autoencoder=args.autoencoder,
            judge=args.judge,
            **given,
        )

    return fit_command(args, check=check, stage=stage, then="edgeswap export {out} BUNDLE")


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that do not fit together; looks at no folder and loads no graph or torch."""
    _config(args)


def _config(args: argparse.Namespace) -> DistillConfig:
    return config_of(args, DistillConfig(), FIELDS)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap distill``."""
    parser = argparse.ArgumentParser(
        prog="edgeswap distill",
        description="Teach a student (the teacher itself or a pruned one) to swap in few steps "
        "without guidance. Stop it at any time; the same command goes on.",
        epilog="edgeswap distill autoencoder --help: a small encoder and decoder; edgeswap distill "
        "decoder --help: a decoder that leaves alone what is in front of the face.",
    )
    add = parser.add_argument
    add("teacher", type=Path, metavar="TEACHER", help="checkpoint folder to learn from")
    add(
        "student", type=Path, metavar="STUDENT",
        help="checkpoint folder to start from: the teacher again, or a pruned one",
    )  # fmt: skip
    add("out", type=Path, metavar="OUT", help="checkpoint folder to make")
    add(
        "--autoencoder", type=Path, metavar="CHECKPOINT",
        help="checkpoint whose small autoencoder the student gets (default: the student's own)",
    )  # fmt: skip
    add(
        "--method", choices=list(METHODS), default=USUAL.method,
        help="how the student learns (default %(default)s)",
    )  # fmt: skip
    add(
        "--steps", type=int, default=USUAL.steps, metavar="N",
        help="sampling steps of the student, 1 to 1000 (default %(default)s)",
    )  # fmt: skip
    _add_data(add)
    add_budget(parser, USUAL.budget)
    add_run(add)
    _add_teacher(parser.add_argument_group("teacher").add_argument)
    _add_losses(parser.add_argument_group("loss terms").add_argument)
    _add_decoder(parser.add_argument_group("last phase: the decoder").add_argument)
    add_fitting = parser.add_argument_group("fitting").add_argument
    add_optimization(add_fitting, USUAL.fit)
    add_machine(add_fitting)
    add_fitting(
        "--patience", type=int, default=USUAL.budget.patience, metavar="N",
        help="end after N evaluations without a smaller distance to the truth (default 0: never)",
    )  # fmt: skip
    add_habits(add_fitting, cadence_s=(60.0, 60.0))
    return parser


def _add_data(add: Any) -> None:
    add(
        "--data", type=Path, metavar="DATASET",
        help="dataset to learn from: rendered, triplets, or aligned crops, in a sub-folder for "
        "each person or loose (default: the small packaged one)",
    )  # fmt: skip
    add(
        "--held-out", type=Path, metavar="DATASET",
        help="dataset of the same kind for the figures and the preview (default: a part of --data)",
    )  # fmt: skip
    add(
        "--judge", type=Path, metavar="FILE",
        help="recognizer as .onnx, of ArcFace's 112 px crops, that judges identity in the figures "
        "(default: none)",
    )  # fmt: skip
    add(
        "--self-share", type=float, default=USUAL.pairs.self_share, metavar="SHARE",
        help="of crops without truths: share of the pairs of one person, whose truth is the target "
        "(default %(default)g)",
    )  # fmt: skip


def _add_teacher(add: Any) -> None:
    defaults = ", ".join(f"{method} {steps}" for method, steps in METHODS.items())
    add(
        "--teacher-steps", type=int, metavar="N",
        help=f"sampling steps of the teacher, a multiple of --steps (default: {defaults})",
    )  # fmt: skip
    add(
        "--teacher-guidance", type=float, metavar="SCALE",
        help="guidance scale of the teacher, 1 to 100; 1 is none (default: its own)",
    )  # fmt: skip
    add(
        "--targets", type=int, default=USUAL.teacher.targets, metavar="N",
        help="trajectories of the teacher to compute and keep (default %(default)s)",
    )  # fmt: skip


def _add_losses(add: Any) -> None:
    losses = USUAL.losses
    add(
        "--truth-weight", type=float, default=losses.truth_weight, metavar="SHARE",
        help="0: learn from the teacher alone, 1: from the exact truth alone (default %(default)g)",
    )  # fmt: skip
    add(
        "--identity-weight", type=float, default=losses.identity.weight, metavar="WEIGHT",
        help="weight of the identity loss on latents, 0: none (default %(default)g)",
    )  # fmt: skip
    add(
        "--judge-samples", type=int, default=losses.judge_samples, metavar="N",
        help="images to train a fresh identity encoder on for that loss (default 0: take the "
        "teacher's own)",
    )  # fmt: skip
    add(
        "--fine-weight", type=float, default=losses.fine_weight, metavar="WEIGHT",
        help="weight of the fine detail of decoded swaps, 0: none (default %(default)g)",
    )  # fmt: skip
    add(
        "--metric-share", type=float, default=losses.metric_share, metavar="SHARE",
        help="0: measure errors on latents, 1: as they show in pixels (default %(default)g)",
    )  # fmt: skip
    add(
        "--feature-weight", type=float, default=losses.feature_weight, metavar="WEIGHT",
        help="weight of matching the outputs of the teacher's blocks, 0: none "
        "(default %(default)g)",
    )  # fmt: skip
    add(
        "--critic-updates", type=int, default=USUAL.dmd2.critic_updates, metavar="N",
        help="dmd2: steps of the critic for each step of the student (default %(default)s)",
    )  # fmt: skip
    add(
        "--adversarial-weight", type=float, default=USUAL.dmd2.adversarial_weight,
        metavar="WEIGHT",
        help="dmd2: weight of the discriminator's verdict, 0: none (default %(default)g)",
    )  # fmt: skip


def _add_decoder(add: Any) -> None:
    usual = USUAL.decoder
    add(
        "--decoder-share", type=float, default=usual.share, metavar="SHARE",
        help="share of the budget to finetune the decoder on the student's own swaps; 0: none, "
        "1: a finished student's decoder alone (default %(default)g)",
    )  # fmt: skip
    add(
        "--decoder-fine-weight", type=float, default=usual.fine_weight, metavar="WEIGHT",
        help="weight of the fine detail in that phase (default %(default)g)",
    )  # fmt: skip
    add(
        "--decoder-adversarial-weight", type=float, default=usual.adversarial_weight,
        metavar="WEIGHT",
        help="weight of a discriminator of pictures in that phase, 0: none (default %(default)g)",
    )  # fmt: skip
