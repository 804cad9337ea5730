"""Stage that replaces a checkpoint's large autoencoder by a small one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._checks import usual_run
from edgeswap_compress._macs import count_macs
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint, convert
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.data import open_pictures
from edgeswap_compress.distill.autoencoder.checks import check_shrinking
from edgeswap_compress.distill.autoencoder.config import SmallAutoencoderConfig
from edgeswap_compress.distill.autoencoder.small_autoencoder import (
    SmallAutoencoderObjective,
    build_small_autoencoder,
)
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.fit.run_folder import trained_module
from edgeswap_compress.fit.stage import FIT, CheckpointFit, StageHabits, fit_checkpoint, inputs_of
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_compress.progress import StageProgress


def shrink_autoencoder(
    checkpoint: Path,
    config: SmallAutoencoderConfig,
    out: Path,
    *,
    data: Path | None = None,
    run: Path | None = None,
    held_out: Path | None = None,
    cadence: Cadence | None = None,
    tracker: Tracker | None = None,
    progress: StageProgress | None = None,
) -> Path | None:
    """Distill a checkpoint's autoencoder into a small one with the same latents.

    Args:
        checkpoint: folder of one with a large autoencoder; its other modules are kept.
        config: size and training of the small one.
        out: new checkpoint folder.
        data: dataset of pictures, of any kind; the packaged one when None.
        run: folder with the state, which the same call continues; ``OUT.run`` when None.
        held_out: dataset for the figures; ``data`` when None.
        cadence: how often to save and evaluate; when to stop early.
        tracker: receives the losses and figures.
        progress: told at least every 5 s how much is done; also from another thread.

    Returns:
        ``out``, or None if the cadence stopped it early.

    Raises:
        OutputExists, InvalidCheckpoint: ``out`` exists; the autoencoder is a small one already.
        TrainingStopped: the run folder belongs to another call.
    """
    run, data = run or usual_run(out), data or calibration_dataset()
    check_shrinking(checkpoint, config, out, data=data, run=run, held_out=held_out)
    pictures = open_pictures(data, loose=True)
    judged = pictures if held_out is None else open_pictures(held_out, loose=True)
    small = small_config(Checkpoint.load(checkpoint).swap, config)

    def objective(decided: SmallAutoencoderConfig, report: Any) -> SmallAutoencoderObjective:
        large, compute = Checkpoint.load(checkpoint), decided.fit.compute()
        module = compute.place(build_small_autoencoder(decided, large.swap).train())
        return SmallAutoencoderObjective(
            module, decided, compute.place(large.vae), large.swap, small, pictures, judged
        )

    stage = CheckpointFit(
        name="autoencoder",
        of="distillation",
        inputs=inputs_of(checkpoint, pictures, judged),
        objective=objective,
        settings=lambda steps: {
            "warmup_steps": min(100, max(1, steps // 10)),
            "weight_decay": 1e-4,
        },
        made=lambda fitted, details: _shrunk(checkpoint, small, fitted, details, run),
        cadence=Cadence(save_s=60.0, evaluate_s=60.0),
    )
    habits = StageHabits(cadence=cadence, tracker=tracker, progress=progress)
    return fit_checkpoint(stage, config, out, run, habits)


def _shrunk(
    checkpoint: Path,
    small: SwapConfig,
    fitted: SmallAutoencoderObjective,
    details: dict[str, Any],
    run: Path,
) -> Checkpoint:
    """Give the checkpoint the small autoencoder, in float32; its other modules are untouched."""
    module = convert(fitted.module.eval(), torch.float32, torch.device("cpu"))
    trained_module(module, run / FIT)
    details["macs"] = _macs(module, small)
    swap = small.with_stage("distill-autoencoder", details)
    return dataclasses.replace(Checkpoint.load(checkpoint), vae=module, swap=swap)


def small_config(swap: SwapConfig, config: SmallAutoencoderConfig) -> SwapConfig:
    """Give a checkpoint's settings with a small autoencoder: its latents are the normalized ones.

    Args:
        swap: with the large one.
        config: of the small one.
    """
    size = config.size.patch_size
    space = dataclasses.replace(swap.latents, patch_size=size, mean=(0.0,), std=(1.0,))
    return dataclasses.replace(swap, latents=space)


def _macs(module: Any, swap: Any) -> dict[str, int]:
    """Count the multiply-accumulates of each half, for one crop."""
    side = swap.resolution_px // swap.patch_size
    patches = torch.zeros(1, module.config.in_channels, side, side)
    latents = torch.zeros(1, swap.latent_channels, swap.latent_size, swap.latent_size)
    return {
        "encoder": count_macs(module.encoder, {"x": patches}),
        "decoder": count_macs(module.decoder, {"x": latents}),
    }
