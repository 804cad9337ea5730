"""``edgeswap personalize``: a student learns one consenting person."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeswap_compress._checks import usual_run
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.fit.cli import (
    MACHINE_FIELDS,
    add_habits,
    add_machine,
    add_optimization,
    add_run,
    cadence_of,
    fitting,
)
from edgeswap_compress.fit.config import changed
from edgeswap_compress.personalize._config import PersonalizeConfig
from edgeswap_compress.personalize.checks import check_personalization

FIELDS = {
    "rank": "rank",
    "prior_weight": "prior_weight",
    "identity_weight": "identity.weight",
    "samples": "budget.samples",
    "batch_size": "fit.batch_size",
    "learning_rate": "fit.learning_rate",
    "optimizer": "fit.optimizer",
    **MACHINE_FIELDS,
    "seed": "fit.seed",
}
"""Option -> field of the config."""


def command(argv: list[str]) -> int:
    """Run ``edgeswap personalize``.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    args = build_parser().parse_args(argv)
    config = _config(args)
    run, data = args.run or usual_run(args.out), args.data or calibration_dataset()

    def check() -> None:
        check_personalization(
            args.student, args.out, photos=args.photos, data=data, run=run, aligned=args.aligned
        )

    with fitting(args, run, check=check, then="edgeswap export {out} BUNDLE") as frame:
        from edgeswap_compress.personalize._stage import personalize

        frame.out = personalize(
            args.student,
            config,
            args.out,
            photos=args.photos,
            data=data,
            run=run,
            aligned=args.aligned,
            cadence=cadence_of(args, save_s=30.0, evaluate_s=30.0),
            progress=frame.progress,
        )
        frame.lines = [
            f"the history of {frame.out} states the consent",
            f"{run} holds latents of the photos: remove it when you are done",
        ]
    return 0


def _config(args: argparse.Namespace) -> PersonalizeConfig:
    changes = {path: getattr(args, name) for name, path in FIELDS.items()}
    return changed(PersonalizeConfig(consent=args.consent), changes)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap personalize``."""
    usual = PersonalizeConfig(consent="who, when, what for")
    parser = argparse.ArgumentParser(
        prog="edgeswap personalize",
        description="Teach a finished student one person from about five photos. The person must "
        "have agreed: the consent is stored in the checkpoint and in every bundle made from it.",
    )
    add = parser.add_argument
    add("student", type=Path, metavar="STUDENT", help="checkpoint folder of a distilled student")
    add("out", type=Path, metavar="OUT", help="checkpoint folder to make")
    add(
        "--photos", type=Path, required=True, metavar="FOLDER",
        help="folder of about five photos of the person (required)",
    )  # fmt: skip
    add(
        "--consent", required=True, metavar='"WHO, WHEN, WHAT FOR"',
        help="who agreed, when, and to what, with commas between; stored (required)",
    )  # fmt: skip
    add(
        "--aligned", action="store_true",
        help="the photos are aligned crops of the student's size already",
    )  # fmt: skip
    add(
        "--data", type=Path, metavar="DATASET",
        help="rendered dataset of other people (default: the small packaged one)",
    )  # fmt: skip
    add_run(add)
    add(
        "--rank", type=int, default=usual.rank, metavar="N",
        help="rank of the adapters, 1 to 4096 (default %(default)s)",
    )  # fmt: skip
    add(
        "--samples", type=int, default=usual.budget.samples, metavar="N",
        help="images to learn from (default %(default)s)",
    )  # fmt: skip
    add(
        "--prior-weight", type=float, default=usual.prior_weight, metavar="WEIGHT",
        help="weight of staying as it was on other people, 0: none (default %(default)g)",
    )  # fmt: skip
    add(
        "--identity-weight", type=float, default=usual.identity.weight, metavar="WEIGHT",
        help="weight of the identity loss on latents, 0: none (default %(default)g)",
    )  # fmt: skip
    add_optimization(add, usual.fit)
    add_machine(add)
    add_habits(add, tracker=False)
    return parser
