"""``edgeswap distill autoencoder``: a small encoder and decoder in the place of the large ones."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from edgeswap_compress.distill.autoencoder.checks import check_shrinking
from edgeswap_compress.distill.autoencoder.config import SmallAutoencoderConfig
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
    "encoder_blocks": "size.encoder_blocks",
    "decoder_blocks": "size.decoder_blocks",
    "latent_noise": "losses.latent_noise",
    "latent_weight": "losses.latent_weight",
    "fine_weight": "losses.fine_weight",
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
    """Run ``edgeswap distill autoencoder``.

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
        check=partial(check_shrinking, *given),
        stage=partial(_stage, *given),
        then="edgeswap distill TEACHER {out} STUDENT",
        lines=_figures,
    )


def _stage(*given: Any, **habits: Any) -> Path | None:
    from edgeswap_compress.distill.autoencoder.stage import shrink_autoencoder

    return shrink_autoencoder(*given, **habits)


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that do not fit together; looks at no folder and loads no graph or torch."""
    _config(args)


def _config(args: argparse.Namespace) -> SmallAutoencoderConfig:
    return config_of(args, SmallAutoencoderConfig(), FIELDS)


def _figures(out: Path) -> list[str]:
    from edgeswap_compress.checkpoint.folder import Checkpoint

    last = Checkpoint.load(out).swap.history[-1]["config"]
    figures, macs = last["figures"], last["macs"]
    rows = [
        f"{name:8} {figures[f'{name}_psnr_face_db']:.2f} dB in the face, fine energy "
        f"{figures[f'{name}_hf_ratio']:.3f}"
        for name in ("large", "decoder", "both")
    ]
    size = f"{macs['encoder'] / 1e6:.1f} + {macs['decoder'] / 1e6:.1f} MMACs"
    return [*rows, f"encoder + decoder {size}"]


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap distill autoencoder``."""
    usual = SmallAutoencoderConfig()
    parser = argparse.ArgumentParser(
        prog="edgeswap distill autoencoder",
        description="Distill a checkpoint's autoencoder into a small one with the same latents. "
        "Do this before the denoiser is distilled, which then learns on the small encoder's.",
    )
    add = parser.add_argument
    add(
        "checkpoint", type=Path, metavar="CHECKPOINT",
        help="checkpoint folder with a large autoencoder",
    )  # fmt: skip
    add("out", type=Path, metavar="OUT", help="checkpoint folder to make")
    add(
        "--data", type=Path, metavar="DATASET",
        help="dataset to learn from: rendered, triplets, or aligned crops (default: the small "
        "packaged one)",
    )  # fmt: skip
    add(
        "--held-out", type=Path, metavar="DATASET",
        help="dataset of the same kind for the figures (default: --data)",
    )  # fmt: skip
    add_budget(parser, usual.budget)
    add_run(add)
    _add_size(parser.add_argument_group("size").add_argument, usual)
    add_fitting = parser.add_argument_group("fitting").add_argument
    losses = usual.losses
    add_fitting(
        "--latent-noise", type=float, default=losses.latent_noise, metavar="DEVIATION",
        help="largest noise on the latents that are decoded (default %(default)g)",
    )  # fmt: skip
    add_fitting(
        "--latent-weight", type=float, default=losses.latent_weight, metavar="WEIGHT",
        help="weight of the distance to the large encoder's latents (default %(default)g)",
    )  # fmt: skip
    add_fitting(
        "--fine-weight", type=float, default=losses.fine_weight, metavar="WEIGHT",
        help="weight of the fine detail of decoded pictures, 0: none (default %(default)g)",
    )  # fmt: skip
    add_optimization(add_fitting, usual.fit)
    add_machine(add_fitting, savings=())
    add_habits(add_fitting, cadence_s=(60.0, 60.0))
    return parser


def _add_size(add: Any, usual: SmallAutoencoderConfig) -> None:
    helps = {
        "patch_size": "side of the patches the encoder begins with, pixels",
        "width": "channels of every layer",
        "encoder_blocks": "residual blocks of the encoder at the latents' size",
        "decoder_blocks": "residual blocks of the decoder at the latents' size",
    }
    for name, text in helps.items():
        add(
            f"--{name.replace('_', '-')}", type=int, default=getattr(usual.size, name),
            metavar="N", help=f"{text} (default %(default)s)",
        )  # fmt: skip
