"""The stage that gives a checkpoint a small autoencoder in the place of its large one."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._macs import count_macs
from edgeswap_compress._progress import StageProgress, steady
from edgeswap_compress.checkpoint.folder import Checkpoint, convert
from edgeswap_compress.checkpoint.latents import works_normalized
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.data import read_dataset
from edgeswap_compress.distill.autoencoder.small_autoencoder import (
    SmallAutoencoderConfig,
    SmallAutoencoderObjective,
    build_small_autoencoder,
)
from edgeswap_compress.distill.phases import trained_module
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.processes import processes, taken_dtype
from edgeswap_compress.fit.run_folder import (
    claim,
    fingerprint,
    last_figures,
    reporter,
    settings_of,
    steps_in,
)
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.files import canonical_json


def shrink_autoencoder(
    path: Path,
    out: Path,
    config: SmallAutoencoderConfig,
    *,
    data: Path,
    run: Path,
    held_out: Path | None = None,
    cadence: Cadence | None = None,
    tracker: Tracker | None = None,
    progress: StageProgress | None = None,
) -> Path | None:
    """Distill a checkpoint's autoencoder into a small one that speaks the same latents.

    Args:
        path: checkpoint with a large autoencoder; its other modules are kept.
        out: new checkpoint folder.
        data: rendered dataset of pictures.
        run: folder with the state; the same call continues a stopped run.
        held_out: dataset for the figures; ``data`` when None.
        progress: told at least every 5 s how much is done; also from another thread.

    Returns:
        ``out``, or None if the cadence stopped it early.

    Raises:
        OutputExists: ``out`` exists.
        InvalidCheckpoint: the autoencoder is a small one already.
        TrainingStopped: the run folder belongs to another call.
    """
    if out.exists():
        raise OutputExists(out)
    config = dataclasses.replace(config, dtype=taken_dtype(config.dtype))
    checkpoint = Checkpoint.load(path)
    if works_normalized(checkpoint.vae):
        raise InvalidCheckpoint(
            f"{path}: vae", expected="an AutoencoderKL to learn from", found="an AutoencoderTiny"
        )
    small = dataclasses.replace(checkpoint.swap, patch_size=config.patch_size)
    module = build_small_autoencoder(config, checkpoint.swap)
    pictures = read_dataset(data)
    judged = pictures if held_out is None else read_dataset(held_out)
    with processes().main_first():
        claim(run, _key(path, pictures, judged, config))
        dtypes = note_dtype(run, config.dtype)
    dtype = getattr(torch, config.dtype)
    convert(module.train(), dtype)
    objective = SmallAutoencoderObjective(
        module, config, convert(checkpoint.vae, dtype), checkpoint.swap, small, pictures, judged
    )
    with steady(progress) as told:
        report = reporter(told)
        done = fit(
            objective,
            _fit_config(objective, config, run, report("autoencoder-timing")),
            run / "fit",
            cadence=cadence or Cadence(save_s=60.0, evaluate_s=60.0),
            tracker=tracker,
            progress=report("autoencoder"),
        )
    if not done:
        return None
    with processes().main_first():
        if not processes().main:
            return out
        asked = {**dataclasses.asdict(config), "dtype": dtypes}
        return _shrunk(path, module, small, asked, run).save(out)


def _shrunk(
    path: Path, module: Any, small: SwapConfig, asked: dict[str, Any], run: Path
) -> Checkpoint:
    """The checkpoint with the fitted autoencoder, its other modules untouched."""
    convert(module.eval(), torch.float32)
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
    steps = (config.samples or 0) // config.batch_size
    if config.samples is None:
        file = run / "fit.json"
        steps = steps_in(objective, config.minutes, config.batch_size, config.seed, file, progress)
    return FitConfig(
        samples=steps * config.batch_size,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        optimizer=config.optimizer,
        warmup_steps=min(100, max(1, steps // 10)),
        hold=0.4,
        weight_decay=1e-4,
        ema_decay=0.995,
        seed=config.seed,
    )


def _macs(module: Any, swap: Any) -> dict[str, int]:
    """Multiply-accumulates of each half, for one crop."""
    side = swap.resolution_px // swap.patch_size
    patches = torch.zeros(1, module.config.in_channels, side, side)
    latents = torch.zeros(1, swap.latent_channels, swap.latent_size, swap.latent_size)
    return {
        "encoder": count_macs(module.encoder, {"x": patches}),
        "decoder": count_macs(module.decoder, {"x": latents}),
    }
