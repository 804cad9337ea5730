"""Stage that teaches a checkpoint's decoder to see the target and to give alpha."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._checks import usual_run
from edgeswap_compress._macs import count_macs
from edgeswap_compress._progress import StageProgress, steady
from edgeswap_compress.autoencoders.target_overlay import TargetOverlay
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.pipeline import SwapPipeline
from edgeswap_compress.data import Dataset, read_dataset
from edgeswap_compress.distill.decoder.checks import check_target_decoder
from edgeswap_compress.distill.decoder.config import OverlaySize, TargetDecoderConfig
from edgeswap_compress.distill.decoder.target_decoder import TargetDecoderObjective
from edgeswap_compress.distill.phases import trained_module
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.processes import processes, taken_machine
from edgeswap_compress.fit.run_folder import (
    budgeted_steps,
    claim,
    fingerprint,
    last_figures,
    reporter,
    settings_of,
)
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_runtime.files import canonical_json


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
    config = dataclasses.replace(config, fit=taken_machine(config.fit))
    pictures = read_dataset(data)
    judged = pictures if held_out is None else read_dataset(held_out)
    with processes().main_first():
        key = {"run": _key(checkpoint, pictures, judged, config)}
        claim(run, key, of="decoder's training", same="checkpoint, data and settings")
        dtypes = note_dtype(run, config.fit.dtype)
    objective = _objective(checkpoint, config, pictures, judged)
    with steady(progress) as told:
        report = reporter(told)
        done = fit(
            objective,
            _fit_config(objective, config, run, report("decoder-timing")),
            run / "fit",
            compute=config.fit.compute(),
            cadence=cadence or Cadence(save_s=60.0, evaluate_s=120.0),
            tracker=tracker,
            progress=report("decoder"),
        )
    with processes().main_first():
        if not done or not processes().main:
            return out if done else None
        asked = dataclasses.asdict(config)
        asked["fit"]["dtype"] = dtypes
        return _trained(checkpoint, config, asked, run).save(out)


def _fit_config(
    objective: TargetDecoderObjective, config: TargetDecoderConfig, run: Path, progress: Any
) -> FitConfig:
    steps = budgeted_steps(objective, config, run / "fit.json", progress=progress)
    return config.fit.fit_config(
        steps, warmup_steps=min(100, max(1, steps // 10)), hold=0.3, weight_decay=1e-4,
        ema_decay=0.99,
    )  # fmt: skip


def build_overlay(size: OverlaySize, seed: int) -> TargetOverlay:
    """Build an untrained network whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TargetOverlay(patch_size=size.patch_size, widths=size.widths)


def _objective(
    path: Path, config: TargetDecoderConfig, pictures: Dataset, judged: Dataset
) -> TargetDecoderObjective:
    """Build what is fitted; a network that the checkpoint has already learns on."""
    compute = config.fit.compute()
    model = Checkpoint.load(path).to(compute.weights, compute.device)
    overlay = model.overlay or compute.place(build_overlay(config.size, config.fit.seed))
    pipeline = SwapPipeline.from_checkpoint(model)
    return TargetDecoderObjective(pipeline, overlay, config, pictures, judged)


def _trained(
    path: Path, config: TargetDecoderConfig, asked: dict[str, Any], run: Path
) -> Checkpoint:
    """Give the checkpoint what was fitted, in float32; its other modules are untouched."""
    model = Checkpoint.load(path)
    overlay = model.overlay or build_overlay(config.size, config.fit.seed)
    trained_module(overlay, run / "fit", "overlay.")
    trained_module(model.vae, run / "fit", "vae.")
    figures, side = last_figures(run / "fit"), model.swap.resolution_px
    picture = torch.zeros(1, 3, side, side)
    details = {
        **asked,
        "samples": int(figures["samples"]),
        "macs": count_macs(overlay, {"decoded": picture, "target": picture}),
        "figures": figures,
    }
    swap = model.swap.with_stage("distill-decoder", details)
    return dataclasses.replace(model, overlay=overlay.eval(), swap=swap)


def _key(path: Path, data: Dataset, held_out: Dataset, config: TargetDecoderConfig) -> str:
    inputs = {
        "checkpoint": fingerprint(path),
        "dataset": data.digest,
        "held_out": held_out.digest,
        "config": settings_of(config),
    }
    return hashlib.sha256(canonical_json(inputs)).hexdigest()
