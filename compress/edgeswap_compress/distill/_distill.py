"""The distillation stage: teacher and student checkpoints in, few-step student checkpoint out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor

from edgeswap_compress._checkpoint import MODULES, WEIGHTS_NAME, Checkpoint
from edgeswap_compress._errors import InvalidCheckpoint, TrainingStopped
from edgeswap_compress._progress import StageProgress
from edgeswap_compress.data import read_dataset
from edgeswap_compress.distill._config import DistillConfig
from edgeswap_compress.distill._objective import TrajectoryObjective
from edgeswap_compress.distill._trajectories import teacher_trajectories
from edgeswap_compress.train._cache import encode_dataset
from edgeswap_compress.train._config import FitConfig
from edgeswap_compress.train._loop import Cadence, Draw, fit
from edgeswap_compress.train._trackers import Tracker
from edgeswap_runtime._atomic import canonical_json, sha256_file, write_json
from edgeswap_runtime._errors import OutputExists


def distill(
    teacher_path: Path,
    student_path: Path,
    out: Path,
    config: DistillConfig,
    *,
    data: Path,
    run: Path,
    tracker: Tracker | None = None,
    progress: StageProgress | None = None,
) -> Path:
    """Teach a student to do in ``config.steps`` evaluations what the teacher does in many.

    Args:
        teacher_path: checkpoint that answers.
        student_path: checkpoint to start from: the teacher itself or a pruned one.
        out: new checkpoint folder.
        data: rendered dataset; its pictures make the inputs and, where wanted, the truths.
        run: folder with caches and state; the same call continues a stopped run.

    Raises:
        OutputExists: ``out`` exists.
        InvalidCheckpoint: the student does not work in the teacher's latent space.
        TrainingStopped: the run folder belongs to another call.
    """
    if out.exists():
        raise OutputExists(out)
    dtype = getattr(torch, config.dtype)
    teacher, student = (Checkpoint.load(path).to(dtype) for path in (teacher_path, student_path))
    _check_same_space(teacher, student)
    for model in (teacher, student):
        model.unet.set_attn_processor(AttnProcessor())
    key = _key(teacher_path, student_path, data, config)
    _claim(run, key)
    objective = _objective(teacher, student, config, data, run, key, _reporter(progress))
    settings = _fit_config(objective, config, run / "fit.json")
    fit(
        objective,
        settings,
        run / "fit",
        cadence=Cadence(save_s=60.0, evaluate_s=60.0),
        tracker=tracker,
        progress=_reporter(progress)("distill"),
    )
    details = {**dataclasses.asdict(config), "samples": settings.samples, "teacher": key["teacher"]}
    swap = student.swap.with_stage(
        "distill", details, guidance_scale=1.0, default_steps=config.steps, default_sampler="ddim"
    )
    return dataclasses.replace(student, swap=swap).save(out)


def _objective(
    teacher: Checkpoint,
    student: Checkpoint,
    config: DistillConfig,
    data: Path,
    run: Path,
    key: dict[str, str],
    report: Callable[[str], Any],
) -> TrajectoryObjective:
    """Encode the data, let the teacher answer, and set the student its task."""
    latents = encode_dataset(
        teacher.vae,
        teacher.swap,
        read_dataset(data),
        run / "latents.safetensors",
        key["latents"],
        progress=report("latents"),
    )
    trajectories = teacher_trajectories(
        teacher, latents, config, run / "trajectories", key["run"], report("trajectories")
    )
    objective = TrajectoryObjective(student, teacher, latents, trajectories, config)
    objective.module.train()
    return objective


def _reporter(progress: StageProgress | None) -> Callable[[str], Any]:
    if progress is None:
        return lambda name: None
    return lambda name: lambda done, total, text: progress(name, done, total, text)


def _check_same_space(teacher: Checkpoint, student: Checkpoint) -> None:
    for name in ("latent_channels", "latent_size", "prediction_target", "residual_std"):
        expected, found = getattr(teacher.swap, name), getattr(student.swap, name)
        if expected != found:
            raise InvalidCheckpoint(f"student's {name}", expected=expected, found=found)
    wanted = dict(teacher.vae.config)["latents_mean"]
    if dict(student.vae.config)["latents_mean"] != wanted:
        raise InvalidCheckpoint(
            "student's autoencoder", expected="the teacher's latent space", found="another"
        )


def _fingerprint(path: Path) -> str:
    """Hash of a checkpoint's weights and swap config."""
    digest = hashlib.sha256(sha256_file(path / "swap.json").encode())
    for name in MODULES:
        digest.update(sha256_file(path / name / WEIGHTS_NAME).encode())
    return digest.hexdigest()


def _key(teacher: Path, student: Path, data: Path, config: DistillConfig) -> dict[str, str]:
    dataset = read_dataset(data).digest
    fingerprint = _fingerprint(teacher)
    inputs = {
        "teacher": fingerprint,
        "student": _fingerprint(student),
        "dataset": dataset,
        "config": dataclasses.asdict(config),
    }
    return {
        "teacher": fingerprint,
        "latents": f"{fingerprint}-{dataset}",
        "run": hashlib.sha256(canonical_json(inputs)).hexdigest(),
    }


def _claim(run: Path, key: dict[str, str]) -> None:
    run.mkdir(parents=True, exist_ok=True)
    file = run / "run.json"
    if not file.exists():
        write_json(file, key)
    elif json.loads(file.read_text()) != key:
        raise TrainingStopped(
            f"{run} belongs to another distillation: expected the same teacher, student, data and "
            "settings; name another --run folder"
        )


def _fit_config(objective: TrajectoryObjective, config: DistillConfig, file: Path) -> FitConfig:
    """Fix the number of samples from the speed of a few steps, once per run folder."""
    if not file.exists():
        for i in range(2):
            objective.loss(Draw.of(config.seed, i), config.batch_size, 0.0)[0].backward()
        begun, steps = time.monotonic(), 4
        for i in range(steps):
            objective.loss(Draw.of(config.seed, i), config.batch_size, 0.0)[0].backward()
        objective.module.zero_grad(set_to_none=True)
        # an optimiser step, saving and evaluation take about a fifth on top
        step_s = 1.2 * (time.monotonic() - begun) / steps
        write_json(file, {"steps": max(10, int(config.minutes * 60.0 / step_s))})
    steps = int(json.loads(file.read_text())["steps"])
    return FitConfig(
        samples=steps * config.batch_size,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=min(50, max(1, steps // 10)),
        hold=0.4,
        ema_decay=0.995,
        seed=config.seed,
    )
