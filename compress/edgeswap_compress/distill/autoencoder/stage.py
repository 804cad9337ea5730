"""Stage that replaces a checkpoint's large autoencoder by a small one."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._checks import usual_run
from edgeswap_compress._macs import count_macs
from edgeswap_compress._progress import StageProgress, steady
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
    config = dataclasses.replace(config, fit=taken_machine(config.fit))
    pictures = open_pictures(data, loose=True)
    judged = pictures if held_out is None else open_pictures(held_out, loose=True)
    objective, small = _objective(checkpoint, config, pictures, judged)
    with processes().main_first():
        key = _key(checkpoint, pictures, judged, config)
        claim(run, key, of="distillation", same="checkpoint, data and settings")
        dtypes = note_dtype(run, config.fit.dtype)
    with steady(progress) as told:
        report = reporter(told)
        done = fit(
            objective,
            _fit_config(objective, config, run, report("autoencoder-timing")),
            run / "fit",
            compute=config.fit.compute(),
            cadence=cadence or Cadence(save_s=60.0, evaluate_s=60.0),
            tracker=tracker,
            progress=report("autoencoder"),
        )
    with processes().main_first():
        if not done or not processes().main:
            return out if done else None
        asked = dataclasses.asdict(config)
        asked["fit"]["dtype"] = dtypes
        return _shrunk(checkpoint, objective.module, small, asked, run).save(out)


def _objective(
    checkpoint: Path, config: SmallAutoencoderConfig, pictures: Any, judged: Any
) -> tuple[SmallAutoencoderObjective, SwapConfig]:
    """Build what is fitted, and the settings that the checkpoint will have."""
    large = Checkpoint.load(checkpoint)
    space = large.swap.latents  # the small one's own latents are the normalized ones
    latents = dataclasses.replace(space, patch_size=config.size.patch_size, mean=(0.0,), std=(1.0,))
    small = dataclasses.replace(large.swap, latents=latents)
    compute = config.fit.compute()
    module = compute.place(build_small_autoencoder(config, large.swap).train())
    vae = compute.place(large.vae)
    objective = SmallAutoencoderObjective(module, config, vae, large.swap, small, pictures, judged)
    return objective, small


def _shrunk(
    path: Path, module: Any, small: SwapConfig, asked: dict[str, Any], run: Path
) -> Checkpoint:
    """Give the checkpoint the fitted autoencoder, its other modules untouched."""
    convert(module.eval(), torch.float32, torch.device("cpu"))
    trained_module(module, run / "fit")
    figures = last_figures(run / "fit")
    details = {
        **asked,
        "samples": int(figures["samples"]),
        "macs": _macs(module, small),
        "figures": figures,
    }
    swap = small.with_stage("distill-autoencoder", details)
    return dataclasses.replace(Checkpoint.load(path), vae=module, swap=swap)


def _key(path: Path, data: Any, held_out: Any, config: SmallAutoencoderConfig) -> dict[str, str]:
    inputs = {
        "checkpoint": fingerprint(path),
        "dataset": data.digest,
        "held_out": held_out.digest,
        "config": settings_of(config),
    }
    return {"run": hashlib.sha256(canonical_json(inputs)).hexdigest()}


def _fit_config(
    objective: SmallAutoencoderObjective, config: SmallAutoencoderConfig, run: Path, progress: Any
) -> FitConfig:
    steps = budgeted_steps(objective, config, run / "fit.json", progress=progress)
    return config.fit.fit_config(
        steps, warmup_steps=min(100, max(1, steps // 10)), weight_decay=1e-4
    )


def _macs(module: Any, swap: Any) -> dict[str, int]:
    """Count the multiply-accumulates of each half, for one crop."""
    side = swap.resolution_px // swap.patch_size
    patches = torch.zeros(1, module.config.in_channels, side, side)
    latents = torch.zeros(1, swap.latent_channels, swap.latent_size, swap.latent_size)
    return {
        "encoder": count_macs(module.encoder, {"x": patches}),
        "decoder": count_macs(module.decoder, {"x": latents}),
    }
