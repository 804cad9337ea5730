"""``edgeswap train``: a teacher checkpoint from rendered datasets or a user's own pictures."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeswap_compress._checks import usual_run
from edgeswap_compress.fit.cli import (
    add_habits,
    add_machine,
    add_optimization,
    add_run,
    cadence_of,
    fitting,
    machine_of,
)
from edgeswap_compress.fit.config import FitConfig, FitOptions, IdentityLossConfig
from edgeswap_compress.train.checks import check_training
from edgeswap_compress.train.config import (
    USUAL_AUGMENT,
    AutoencoderConfig,
    AutoencoderShape,
    DecoderPhases,
    DenoiserConfig,
    DenoiserLosses,
    DenoiserShares,
    ExampleConfig,
    IdentityConfig,
    StartConfig,
    TeacherConfig,
    UsualSampling,
)

CADENCE_S = (120.0, 180.0)
"""Usual seconds between saves and between evaluations."""


def command(argv: list[str]) -> int:
    """Run ``edgeswap train``.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    args = build_parser().parse_args(argv)
    config, examples = _config(args), _examples(args)
    run = args.run or usual_run(args.out)

    def check() -> None:
        check_training(args.data, config, args.out, held_out=args.held_out, run=run, init=args.init)

    then = "edgeswap prune {out} PRUNED --macs-ratio 0.5"
    with fitting(args, run, check=check, then=then) as frame:
        from edgeswap_compress.train.stage import train

        frame.out = train(
            args.data,
            config,
            args.out,
            held_out=args.held_out,
            run=run,
            init=args.init,
            examples=examples,
            cadence=cadence_of(args),
            tracker=frame.tracker,
            progress=frame.progress,
        )
    return 0


def _config(args: argparse.Namespace) -> TeacherConfig:
    return TeacherConfig(
        **_stages(args),
        **machine_of(args),
        start=StartConfig(
            seed=args.seed, widen_latents=args.widen_latents, enlarge_crops=args.enlarge_crops
        ),
    )


def _examples(args: argparse.Namespace) -> ExampleConfig:
    return ExampleConfig(
        augment_share=args.augment,
        self_share=args.self_share,
        structure_weight=args.structure_weight,
    )


def _stages(args: argparse.Namespace) -> dict[str, Any]:
    """Give the phases' settings: what was found to work, with the lengths asked for."""
    autoencoder = FitConfig(
        samples=args.autoencoder_samples,
        batch_size=24,
        learning_rate=args.autoencoder_learning_rate,
        hold=0.2 if args.init is None else 0.3,
        betas=(0.9, 0.99),
        weight_decay=1e-4,
        ema_decay=0.995,
        seed=args.seed,
    )
    identity = FitConfig(
        samples=args.identity_samples,
        batch_size=192,
        learning_rate=1e-3,
        warmup_steps=50,
        weight_decay=0.02,
        ema_decay=0.99,
        seed=args.seed,
    )
    denoiser = FitConfig(
        samples=args.denoiser_samples,
        batch_size=args.batch_size,
        optimizer=args.optimizer,
        learning_rate=args.learning_rate,
        ema_decay=0.999,
        seed=args.seed,
    )
    return {
        "autoencoder": AutoencoderConfig(
            fit=autoencoder,
            shape=AutoencoderShape(
                patch_size=args.patch_size, latent_channels=args.latent_channels
            ),
        ),
        "decoders": DecoderPhases(
            decoder=_decoder(autoencoder, args.decoder_samples),
            swap_decoder=_decoder(autoencoder, args.swap_decoder_samples),
        ),
        "identity": IdentityConfig(fit=identity),
        "denoiser": DenoiserConfig(
            fit=denoiser,
            shares=DenoiserShares(
                one_step_share=args.one_step_share, terminal_share=args.terminal_share
            ),
            losses=DenoiserLosses(
                identity=IdentityLossConfig(weight=args.identity_weight),
                metric_share=args.metric_share,
            ),
            sampling=UsualSampling(guidance_scale=args.guidance_scale),
        ),
    }


def _decoder(autoencoder: FitConfig, samples: int) -> FitConfig | None:
    return replace(autoencoder, samples=samples, learning_rate=1e-3) if samples else None


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap train``."""
    parser = argparse.ArgumentParser(
        prog="edgeswap train",
        description="Train autoencoder, identity encoder and denoiser on a rendered dataset, on "
        "triplets (triplets.csv, or sub-folders source, target, truth), or on aligned crops (a "
        "sub-folder for each person). Stop it at any time; the same command goes on.",
    )
    add = parser.add_argument
    add("data", type=Path, metavar="DATASET", help="folder of pictures to learn from")
    add("out", type=Path, metavar="OUT", help="checkpoint folder to make")
    add(
        "--held-out", type=Path, required=True, metavar="DATASET",
        help="folder of the same kind that is never trained on, for the figures (required)",
    )  # fmt: skip
    add_run(add)
    add(
        "--init", type=Path, metavar="CHECKPOINT",
        help="checkpoint whose weights to go on from, in a new run (default: none)",
    )  # fmt: skip
    add(
        "--widen-latents", action="store_true",
        help="with --init: widen its latents to --latent-channels and train its autoencoder on",
    )  # fmt: skip
    add(
        "--enlarge-crops", action="store_true",
        help="with --init: go on with the dataset's larger crops and train its autoencoder on",
    )  # fmt: skip
    _add_autoencoder(parser.add_argument_group("autoencoder").add_argument)
    _add_lengths(parser.add_argument_group("lengths").add_argument)
    _add_denoiser(parser.add_argument_group("denoiser").add_argument)
    _add_examples(parser.add_argument_group("examples").add_argument)
    add_fitting = parser.add_argument_group("fitting").add_argument
    add_machine(add_fitting)
    add_habits(add_fitting, cadence_s=CADENCE_S)
    return parser


def _add_autoencoder(add: Any) -> None:
    usual = AutoencoderShape()
    add(
        "--patch-size", type=int, default=usual.patch_size, metavar="N",
        help="side of the patches that a new autoencoder sees, pixels; the latents are half as "
        "many a side (default %(default)s)",
    )  # fmt: skip
    add(
        "--latent-channels", type=int, default=usual.latent_channels, metavar="N",
        help="channels of the latents of a new or widened autoencoder (default %(default)s)",
    )  # fmt: skip
    add(
        "--autoencoder-learning-rate", type=float, default=1.5e-3, metavar="RATE",
        help="largest learning rate of the autoencoder; a trained one wants a fifth of it "
        "(default %(default)g)",
    )  # fmt: skip


def _add_lengths(add: Any) -> None:
    lengths = {
        "autoencoder": (120_000, "to train the autoencoder on"),
        "identity": (200_000, "to train the identity encoder on"),
        "denoiser": (200_000, "to train the denoiser on"),
        "decoder": (0, "to finetune the decoder on at the end, for sharper skin; 0: none"),
        "swap-decoder": (
            0,
            "to finetune it then on the denoiser's predictions, for sharper swaps; 0: none",
        ),
    }
    for name, (usual, text) in lengths.items():
        add(
            f"--{name}-samples", type=int, default=usual, metavar="N",
            help=f"images {text} (default %(default)s)",
        )  # fmt: skip


def _add_denoiser(add: Any) -> None:
    shares, losses = DenoiserShares(), DenoiserLosses()
    options = FitOptions(optimizer="muon", learning_rate=1e-3)
    add_optimization(add, options, of=" of the denoiser")
    add(
        "--one-step-share", type=float, default=shares.one_step_share, metavar="SHARE",
        help="share of the denoiser's training, at its start, on pure noise alone "
        "(default %(default)g)",
    )  # fmt: skip
    add(
        "--terminal-share", type=float, default=shares.terminal_share, metavar="SHARE",
        help="share of the samples on pure noise after that (default %(default)g)",
    )  # fmt: skip
    add(
        "--metric-share", type=float, default=losses.metric_share, metavar="SHARE",
        help="0: measure errors on latents, 1: as they show in pixels (default %(default)g)",
    )  # fmt: skip
    add(
        "--identity-weight", type=float, default=losses.identity.weight, metavar="WEIGHT",
        help="weight of the identity loss on latents, 0: none (default %(default)g)",
    )  # fmt: skip
    add(
        "--guidance-scale", type=float, default=UsualSampling().guidance_scale, metavar="SCALE",
        help="guidance scale that the checkpoint states as its default, 1 to 100 "
        "(default %(default)g)",
    )  # fmt: skip


def _add_examples(add: Any) -> None:
    usual = ExampleConfig()
    add(
        "--augment", type=float, default=USUAL_AUGMENT, metavar="SHARE",
        help="share of each batch with changed colors, blur, noise, compression and things in "
        "front (default %(default)g)",
    )  # fmt: skip
    add(
        "--self-share", type=float, default=usual.self_share, metavar="SHARE",
        help="of aligned crops: share of the pairs of one person, whose truth is known "
        "(default %(default)g)",
    )  # fmt: skip
    add(
        "--structure-weight", type=float, default=usual.structure_weight, metavar="WEIGHT",
        help="of aligned crops: how firmly pose and light are kept where no truth is known "
        "(default %(default)g)",
    )  # fmt: skip
