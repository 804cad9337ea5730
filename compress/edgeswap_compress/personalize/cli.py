"""``edgeswap personalize``: a student learns one consenting person."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from edgeswap_compress._checks import usual_run
from edgeswap_compress.fit.cli import (
    MACHINE_FIELDS,
    add_habits,
    add_machine,
    add_optimization,
    add_run,
    config_of,
    fit_command,
)
from edgeswap_compress.personalize.checks import check_personalization
from edgeswap_compress.personalize.config import PersonalizeConfig

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
    config = config_of(args, PersonalizeConfig(consent=args.consent), FIELDS)
    given = (args.student, config, args.out)
    pictures = {"photos": args.photos, "aligned": args.aligned}
    return fit_command(
        args,
        check=partial(check_personalization, *given, **pictures),
        stage=partial(_stage, *given, **pictures),
        then="edgeswap export {out} BUNDLE",
        lines=lambda out: [
            f"the history of {out} states the consent",
            f"{args.run or usual_run(out)} holds latents of the photos: remove it when you are "
            "done",
        ],
        save_s=30.0,
        evaluate_s=30.0,
    )


def _stage(*given: Any, **habits: Any) -> Path | None:
    from edgeswap_compress.personalize.stage import personalize

    return personalize(*given, **habits)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap personalize``."""
    usual = PersonalizeConfig(consent="who, when, what for")
    parser = argparse.ArgumentParser(
        prog="edgeswap personalize",
        description="Teach a finished model one person from about five photos. The person must "
        "have agreed: the consent is stored in the checkpoint and in every bundle made from it.",
    )
    add = parser.add_argument
    add(
        "student", type=Path, metavar="STUDENT",
        help="checkpoint folder of the model, such as a distilled student",
    )  # fmt: skip
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
        help="dataset of other people: rendered, triplets, or aligned crops (default: the small "
        "packaged one)",
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
