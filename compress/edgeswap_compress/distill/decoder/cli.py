"""``edgeswap distill decoder``: a decoder that sees the target and says where the swap belongs."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from edgeswap_compress.distill.decoder.checks import check_target_decoder
from edgeswap_compress.distill.decoder.config import TargetDecoderConfig
from edgeswap_compress.fit.cli import (
    add_budget,
    add_habits,
    add_machine,
    add_optimization,
    add_run,
    config_of,
    fit_command,
)

FIELDS = {
    "patch_size": "size.patch_size",
    "width": "size.width",
    "alpha_weight": "losses.alpha_weight",
    "crop_weight": "losses.crop_weight",
    "fine_weight": "losses.fine_weight",
    "adversarial_weight": "losses.adversarial_weight",
    "steps": "steps",
    "augment": "augment_share",
    "freeze_decoder": "freeze_decoder",
    "minutes": "budget.minutes",
    "samples": "budget.samples",
    "batch_size": "fit.batch_size",
    "learning_rate": "fit.learning_rate",
    "optimizer": "fit.optimizer",
    "device": "fit.device",
    "dtype": "fit.dtype",
    "seed": "fit.seed",
}
"""Option -> field of the config."""


def command(argv: list[str]) -> int:
    """Run ``edgeswap distill decoder``.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    args = build_parser().parse_args(argv)
    config = _config(args)
    given = (args.checkpoint, config, args.out)
    return fit_command(
        args,
        check=partial(check_target_decoder, *given),
        stage=partial(_stage, *given),
        then="edgeswap evaluate {out} --data HELDOUT",
    )


def _stage(*given: Any, **habits: Any) -> Path | None:
    from edgeswap_compress.distill.decoder.stage import train_target_decoder

    return train_target_decoder(*given, **habits)


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that do not fit together; looks at no folder and loads no graph or torch."""
    _config(args)


def _config(args: argparse.Namespace) -> TargetDecoderConfig:
    return config_of(args, TargetDecoderConfig(), FIELDS)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap distill decoder``."""
    usual = TargetDecoderConfig()
    parser = argparse.ArgumentParser(
        prog="edgeswap distill decoder",
        description="Teach a checkpoint's decoder to see the target: it corrects the crop and "
        "gives alpha, so that hands, hair and glasses before the face stay as they are. Stop it at "
        "any time; the same command goes on.",
    )
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="checkpoint folder of the model")
    add("out", type=Path, metavar="OUT", help="checkpoint folder to make")
    add(
        "--data", type=Path, metavar="DATASET",
        help="rendered dataset to learn from (default: the small packaged one)",
    )  # fmt: skip
    add(
        "--held-out", type=Path, metavar="DATASET",
        help="rendered dataset for the figures (default: --data)",
    )  # fmt: skip
    add_budget(parser, usual.budget)
    add_run(add)
    _add_network(parser.add_argument_group("network").add_argument, usual)
    add_fitting = parser.add_argument_group("fitting").add_argument
    _add_losses(add_fitting, usual)
    add_optimization(add_fitting, usual.fit)
    add_machine(add_fitting, savings=())
    add_habits(add_fitting, cadence_s=(60.0, 120.0))
    return parser


def _add_network(add: Any, usual: TargetDecoderConfig) -> None:
    add(
        "--patch-size", type=int, default=usual.size.patch_size, metavar="N",
        help="side of the patches that the network sees, pixels (default %(default)s)",
    )  # fmt: skip
    add(
        "--width", type=int, default=usual.size.width, metavar="N",
        help="channels at the patches' size; deeper levels have 2 and 3 times as many "
        "(default %(default)s)",
    )  # fmt: skip
    add(
        "--freeze-decoder", action="store_true",
        help="leave the autoencoder's own decoder as it is (default: it learns too)",
    )  # fmt: skip


def _add_losses(add: Any, usual: TargetDecoderConfig) -> None:
    add(
        "--steps", type=int, default=usual.steps, metavar="N",
        help="sampling steps of the swaps to learn from (default %(default)s)",
    )  # fmt: skip
    add(
        "--augment", type=float, default=usual.augment_share, metavar="SHARE",
        help="share of the pictures in another light, camera and behind other things "
        "(default %(default)g)",
    )  # fmt: skip
    helps = {
        "alpha": "the distance of alpha to the exact mask",
        "crop": "the crop by itself, before it is laid over the target",
        "fine": "the fine detail, 0: none",
        "adversarial": "a discriminator's verdict on the picture, 0: none",
    }
    for name, text in helps.items():
        add(
            f"--{name}-weight", type=float, default=getattr(usual.losses, f"{name}_weight"),
            metavar="WEIGHT", help=f"weight of {text} (default %(default)g)",
        )  # fmt: skip
