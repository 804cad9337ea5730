"""``edgeswap distill autoencoder``: a small encoder and decoder in the place of the large ones."""

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
    vae_kind,
)
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.data.checks import check_dataset
from edgeswap_compress.distill.autoencoder._config import SmallAutoencoderConfig, patch_levels
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_compress.fit.dtype import DTYPES, dtype_line

SETTINGS = ("patch_size", "width", "encoder_blocks", "decoder_blocks", "minutes", "samples",
            "batch_size", "learning_rate", "latent_noise", "latent_weight", "fine_weight",
            "optimizer", "dtype", "seed")  # fmt: skip


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(argv)
    config = SmallAutoencoderConfig(**{name: getattr(args, name) for name in SETTINGS})
    run = args.run or args.out.with_name(args.out.name + ".run")
    data = args.data or calibration_dataset()
    _check(args, config, data, run)
    import torch

    from edgeswap_compress._progress import stage_progress
    from edgeswap_compress.distill.autoencoder._stage import shrink_autoencoder
    from edgeswap_compress.fit.loop import Cadence
    from edgeswap_compress.fit.trackers import open_tracker

    if args.threads:
        torch.set_num_threads(args.threads)
    print(dtype_line(args.dtype), file=sys.stderr)
    tracker = open_tracker(args.tracker, run / "tracker")
    begun = time.monotonic()
    with stage_progress() as report:
        out = shrink_autoencoder(
            args.checkpoint,
            args.out,
            config,
            data=data,
            run=run,
            held_out=args.held_out,
            cadence=Cadence(
                save_s=args.save_every,
                evaluate_s=args.evaluate_every,
                stop_after_s=None if args.stop_after is None else args.stop_after * 60.0,
            ),
            tracker=tracker,
            progress=report,
        )
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
        print(_figures(out))
    return 0


def _check(args: argparse.Namespace, config: SmallAutoencoderConfig, data: Path, run: Path) -> None:
    """Check everything that is known before the work begins."""
    check_habits(args)
    check_out(args.out, need_bytes=RUN_BYTES)
    check_run(run)
    swap = check_checkpoint(args.checkpoint, velocity=False)
    kind = vae_kind(args.checkpoint)
    if kind != "AutoencoderKL":
        raise InvalidCheckpoint(
            f"{args.checkpoint}: vae", expected="an AutoencoderKL to learn from", found=kind
        )
    patch_levels(config, swap)
    for path in (data, args.held_out):
        if path is not None:
            check_dataset(path, swap)


def _figures(out: Path) -> str:
    from edgeswap_compress.checkpoint.folder import Checkpoint

    last = Checkpoint.load(out).swap.history[-1]["config"]
    figures, macs = last["figures"], last["macs"]
    rows = [
        f"{name:8} {figures[f'{name}_psnr_face_db']:.2f} dB in the face, fine energy "
        f"{figures[f'{name}_hf_ratio']:.3f}"
        for name in ("large", "decoder", "both")
    ]
    size = f"{macs['encoder'] / 1e6:.1f} + {macs['decoder'] / 1e6:.1f} MMACs"
    return "\n".join([*rows, f"encoder + decoder {size}"])


def _parser() -> argparse.ArgumentParser:
    usual = SmallAutoencoderConfig()
    parser = argparse.ArgumentParser(
        prog="edgeswap distill autoencoder",
        description="Distill a checkpoint's autoencoder into a small one with the same latents. "
        "Do this before the denoiser is distilled, which then learns on the small encoder's.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="checkpoint folder to write")
    parser.add_argument("--data", type=Path, help="dataset (the small packaged one)")
    parser.add_argument("--held-out", type=Path, metavar="DATASET", help="for the figures")
    parser.add_argument("--run", type=Path, help="state folder (OUT.run)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=usual.minutes, help="wall time")
    length.add_argument("--samples", type=int, help="instead: images to learn from")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default=usual.optimizer)
    parser.add_argument(
        "--dtype", choices=DTYPES, default=usual.dtype,
        help="that torch computes in; auto: the faster one here",
    )  # fmt: skip
    named = ("minutes", "samples", "optimizer", "dtype")
    for name in (n for n in SETTINGS if n not in named):
        value = getattr(usual, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value,
            metavar="N", help=" ",
        )  # fmt: skip
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--tracker", choices=("none", "tensorboard", "wandb"), default="none")
    parser.add_argument("--save-every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--evaluate-every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--stop-after", type=float, metavar="MINUTES")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
