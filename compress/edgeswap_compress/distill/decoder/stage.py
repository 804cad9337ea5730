"""Stage that teaches a checkpoint's decoder to see the target and to give alpha."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._checks import usual_run
from edgeswap_compress._macs import count_macs
from edgeswap_compress.autoencoders.target_overlay import TargetOverlay
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.pipeline import SwapPipeline
from edgeswap_compress.data import read_dataset
from edgeswap_compress.distill.decoder.checks import check_target_decoder
from edgeswap_compress.distill.decoder.config import OverlaySize, TargetDecoderConfig
from edgeswap_compress.distill.decoder.target_decoder import TargetDecoderObjective
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.fit.run_folder import trained_module
from edgeswap_compress.fit.stage import FIT, CheckpointFit, StageHabits, fit_checkpoint, inputs_of
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_compress.progress import StageProgress


def train_target_decoder(
    checkpoint: Path,
    config: TargetDecoderConfig,
    out: Path,
    *,
    data: Path | None = None,
    run: Path | None = None,
    held_out: Path | None = None,
    cadence: Cadence | None = None,
    tracker: Tracker | None = None,
    progress: StageProgress | None = None,
) -> Path | None:
    """Teach a checkpoint's decoder to see the target, so that it leaves alone what is in front.

    Args:
        checkpoint: folder of the model; U-Net, conditioner and encoder are kept.
        config: size and training.
        out: new checkpoint folder.
        data: rendered dataset; the packaged one when None.
        run: folder with the state, which the same call continues; ``OUT.run`` when None.
        held_out: dataset for the figures; ``data`` when None.
        cadence: how often to save and evaluate; when to stop early.
        tracker: receives the losses and figures.
        progress: told at least every 5 s how much is done; also from another thread.

    Returns:
        ``out``, or None if the cadence stopped it early.

    Raises:
        OutputExists, InvalidCheckpoint: ``out`` exists; the checkpoint is damaged.
        TrainingStopped: the run folder belongs to another call.
    """
    run, data = run or usual_run(out), data or calibration_dataset()
    check_target_decoder(checkpoint, config, out, data=data, run=run, held_out=held_out)
    pictures = read_dataset(data)
    judged = pictures if held_out is None else read_dataset(held_out)

    def objective(decided: TargetDecoderConfig, report: Any) -> TargetDecoderObjective:
        compute = decided.fit.compute()
        model = Checkpoint.load(checkpoint).to(compute.weights, compute.device)
        overlay = _overlay(model, decided)  # one that is there already learns on
        pipeline = SwapPipeline.from_checkpoint(model)
        return TargetDecoderObjective(pipeline, compute.place(overlay), decided, pictures, judged)

    stage = CheckpointFit(
        name="decoder",
        of="decoder's training",
        inputs=inputs_of(checkpoint, pictures, judged),
        objective=objective,
        settings=lambda steps: {
            "warmup_steps": min(100, max(1, steps // 10)),
            "hold": 0.3,
            "weight_decay": 1e-4,
            "ema_decay": 0.99,
        },
        made=lambda fitted, details: _trained(checkpoint, config, details, run),
        cadence=Cadence(save_s=60.0, evaluate_s=120.0),
    )
    habits = StageHabits(cadence=cadence, tracker=tracker, progress=progress)
    return fit_checkpoint(stage, config, out, run, habits)


def build_overlay(size: OverlaySize, seed: int) -> TargetOverlay:
    """Build an untrained network whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TargetOverlay(patch_size=size.patch_size, widths=size.widths)


def _overlay(model: Checkpoint, config: TargetDecoderConfig) -> TargetOverlay:
    return model.overlay or build_overlay(config.size, config.fit.seed)


def _trained(
    path: Path, config: TargetDecoderConfig, details: dict[str, Any], run: Path
) -> Checkpoint:
    """Give the checkpoint what was fitted, in float32; its other modules are untouched."""
    model = Checkpoint.load(path)
    overlay = _overlay(model, config)
    trained_module(overlay, run / FIT, "overlay.")
    trained_module(model.vae, run / FIT, "vae.")
    side = model.swap.resolution_px
    picture = torch.zeros(1, 3, side, side)
    details["macs"] = count_macs(overlay, {"decoded": picture, "target": picture})
    swap = model.swap.with_stage("distill-decoder", details)
    return dataclasses.replace(model, overlay=overlay.eval(), swap=swap)
