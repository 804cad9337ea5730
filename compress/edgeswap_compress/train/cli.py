"""``edgeswap train``: a teacher checkpoint from rendered datasets or a user's own pictures."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeswap_compress._checks import (
    OPTIMIZERS,
    RUN_BYTES,
    SHARE,
    WEIGHT,
    check_checkpoint,
    check_habits,
    check_out,
    check_range,
    check_run,
    check_seed,
)
from edgeswap_compress.data.checks import check_dataset
from edgeswap_compress.data.shards import MANIFEST
from edgeswap_compress.errors import DatasetMissing, InvalidSettings
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.dtype import AUTO, DTYPES, dtype_line
from edgeswap_compress.train.config import AutoencoderConfig, DenoiserConfig, IdentityConfig


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(argv)
    stages = _stages(args)
    _check(args)
    import torch

    from edgeswap_compress._progress import stage_progress
    from edgeswap_compress.fit.loop import Cadence
    from edgeswap_compress.fit.processes import processes
    from edgeswap_compress.fit.trackers import open_tracker
    from edgeswap_compress.train._examples import ExampleConfig
    from edgeswap_compress.train._teacher import TeacherConfig, TeacherRun

    if args.threads:
        torch.set_num_threads(args.threads)
    print(dtype_line(args.dtype), file=sys.stderr)
    config = TeacherConfig(
        **stages, dtype=args.dtype, seed=args.seed, grow=args.init is not None and args.grow
    )
    examples = ExampleConfig(
        augment_share=args.augment,
        self_share=args.self_share,
        structure_weight=args.structure_weight,
    )
    run = TeacherRun(args.dataset, args.held_out, config, args.run, args.init, examples)
    cadence = Cadence(
        save_s=args.save_every,
        evaluate_s=args.evaluate_every,
        stop_after_s=None if args.stop_after is None else args.stop_after * 60.0,
    )
    if not processes().main:  # the first process tells
        run.execute(args.out, cadence=cadence)
        return 0
    tracker = open_tracker(args.tracker, args.run / "tracker")
    with stage_progress() as report:
        checkpoint = run.execute(args.out, cadence=cadence, tracker=tracker, progress=report)
    if tracker is not None:
        tracker.close()
    summary = {
        "finished": checkpoint is not None,
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "run": str(args.run),
    }
    if args.json:
        print(json.dumps(summary))
    elif checkpoint is None:
        print(f"stopped early; the same command continues {args.run}")
    else:
        print(f"wrote {checkpoint}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Check everything that is known before the work begins; pictures are read later."""
    check_habits(args)
    check_seed(args.seed)
    for name in ("augment", "self_share"):
        check_range("--" + name.replace("_", "-"), getattr(args, name), *SHARE)
    check_range("--structure-weight", args.structure_weight, *WEIGHT)
    check_out(args.out, need_bytes=RUN_BYTES)
    check_run(args.run)
    if args.grow and args.init is None:
        raise InvalidSettings(
            "--widen-latents is of no use without --init: name a checkpoint to go on from"
        )
    swap = None if args.init is None else check_checkpoint(args.init)
    for path in (args.dataset, args.held_out):
        if (path / MANIFEST).is_file():
            check_dataset(path, swap)
        elif not path.is_dir():
            raise DatasetMissing(path)


def _stages(args: argparse.Namespace) -> dict[str, Any]:
    """The three stages' settings: what was found to work, with the lengths asked for."""
    autoencoder = FitConfig(
        samples=args.autoencoder_samples,
        batch_size=24,
        learning_rate=1.5e-3 if args.init is None else 1e-3,
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
        "autoencoder": AutoencoderConfig(fit=autoencoder),
        "decoder": _decoder(autoencoder, args.decoder_samples),
        "swap_decoder": _decoder(autoencoder, args.swap_decoder_samples),
        "identity": IdentityConfig(fit=identity),
        "denoiser": DenoiserConfig(
            fit=denoiser,
            guidance_scale=args.guidance_scale,
            one_step_share=args.one_step_share,
            terminal_share=args.terminal_share,
            metric_share=args.metric_share,
            identity_weight=args.identity_weight,
        ),
    }


def _decoder(autoencoder: FitConfig, samples: int) -> FitConfig | None:
    return replace(autoencoder, samples=samples, learning_rate=1e-3) if samples else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap train",
        description="Train autoencoder, identity encoder and denoiser on a rendered dataset, on "
        "triplets (triplets.csv, or sub-folders source, target, truth), or on aligned crops (a "
        "sub-folder for each person). "
        "Stop it at any time; the same command goes on.",
    )
    parser.add_argument("dataset", type=Path, help="what to learn from")
    parser.add_argument("out", type=Path, help="checkpoint folder to write at the end")
    parser.add_argument("--held-out", type=Path, required=True, help="never trained on")
    parser.add_argument("--run", type=Path, required=True, help="folder that holds the run's state")
    parser.add_argument(
        "--init", type=Path, metavar="CHECKPOINT", help="go on from its weights, in a new run"
    )
    parser.add_argument(
        "--widen-latents",
        action="store_true",
        help="with --init: widen its latents to 16 channels and train its autoencoder on",
    )
    _add_lengths(parser.add_argument_group("lengths, in samples"))
    _add_denoiser(parser.add_argument_group("denoiser"))
    _add_examples(parser.add_argument_group("examples"))
    parser.add_argument(
        "--dtype", choices=DTYPES, default=AUTO,
        help="that torch computes in (default auto: the faster one here)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: all)")
    parser.add_argument("--tracker", choices=("none", "tensorboard", "wandb"), default="none")
    parser.add_argument("--save-every", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("--evaluate-every", type=float, default=180.0, metavar="SECONDS")
    parser.add_argument("--stop-after", type=float, default=None, metavar="MINUTES")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _add_lengths(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--autoencoder-samples", type=int, default=120_000)
    group.add_argument("--identity-samples", type=int, default=200_000)
    group.add_argument("--denoiser-samples", type=int, default=200_000)
    group.add_argument(
        "--decoder-samples",
        type=int,
        default=0,
        help="train the decoder on at the end, for sharper skin, on so many pictures (0)",
    )
    group.add_argument(
        "--swap-decoder-samples",
        type=int,
        default=0,
        help="then train it on the denoiser's predictions, for sharper swaps, on so many (0)",
    )


def _add_denoiser(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--batch-size", type=int, default=32)
    group.add_argument("--optimizer", choices=OPTIMIZERS, default="muon")
    group.add_argument("--learning-rate", type=float, default=1e-3, help="of the denoiser, peak")
    group.add_argument(
        "--one-step-share",
        type=float,
        default=0.25,
        help="share of the denoiser's training, at its start, at t = T alone",
    )
    group.add_argument(
        "--terminal-share", type=float, default=0.35, help="share of samples at t = T after that"
    )
    group.add_argument(
        "--metric-share",
        type=float,
        default=0.0,
        help="share of the loss that weighs errors as the decoder shows them, 0 to 1",
    )
    group.add_argument(
        "--identity-weight", type=float, default=1.0, help="of the latent identity loss (1)"
    )
    group.add_argument("--guidance-scale", type=float, default=1.5, help="stored as the default")


def _add_examples(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--augment",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of each batch with changed colors, blur, noise, compression, occluders (0)",
    )
    group.add_argument(
        "--self-share",
        type=float,
        default=0.3,
        help="of aligned crops: share of the pairs of one person, whose truth is known (0.3)",
    )
    group.add_argument(
        "--structure-weight",
        type=float,
        default=0.5,
        help="of aligned crops: how firmly pose and light are kept where no truth is known (0.5)",
    )
