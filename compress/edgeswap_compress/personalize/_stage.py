"""The personalization stage: a student and photos in, a student that knows the person out."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._checks import usual_run
from edgeswap_compress._progress import StageProgress
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint, convert
from edgeswap_compress.conditioning.attention import use_plain_attention
from edgeswap_compress.data import read_dataset
from edgeswap_compress.distill.phases import trained_module
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.latent_cache import encode_dataset
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.machine.device import Compute
from edgeswap_compress.fit.machine.options import FitMachine
from edgeswap_compress.fit.machine.savings import move, prepare_unet
from edgeswap_compress.fit.processes import taken_machine
from edgeswap_compress.fit.run_folder import (
    budgeted_steps,
    claim,
    fingerprint,
    last_figures,
    reporter,
    settings_of,
)
from edgeswap_compress.personalize._config import PersonalizeConfig
from edgeswap_compress.personalize._lora import copy_originals, fuse
from edgeswap_compress.personalize._objective import PersonalizeObjective
from edgeswap_compress.personalize._photos import disguise, read_crops
from edgeswap_compress.personalize.checks import check_personalization
from edgeswap_runtime.files import canonical_json


def personalize(
    student: Path,
    config: PersonalizeConfig,
    out: Path,
    *,
    photos: Path,
    data: Path | None = None,
    run: Path | None = None,
    aligned: bool = False,
    cadence: Cadence | None = None,
    progress: StageProgress | None = None,
) -> Path | None:
    """Teach a finished student one consenting person.

    Args:
        student: folder of a checkpoint that needs no guidance.
        config: the consent, and how to learn.
        out: new checkpoint folder.
        photos: folder of about five photos of the person, or of aligned crops.
        data: rendered dataset, for the faces in the disguises and for prior preservation; the
            packaged one when None.
        run: folder with the state, which the same call continues; ``OUT.run`` when None.
        aligned: whether the photos are aligned crops of the student's size.
        cadence: how often to save and evaluate; when to stop early.
        progress: told how much is done.

    Returns:
        ``out``, or None if the cadence stopped it early.

    Raises:
        OutputExists: ``out`` exists.
        InvalidCheckpoint: the checkpoint needs guidance.
        UnusablePictures: a photo shows no face, or a crop has the wrong size.
        TrainingStopped: the run folder belongs to another call.
    """
    run, data = run or usual_run(out), data or calibration_dataset()
    check_personalization(student, out, photos=photos, data=data, run=run, aligned=aligned)
    config = dataclasses.replace(config, fit=taken_machine(config.fit))
    compute = config.fit.compute()
    model = _load(student, compute)
    report, dataset = reporter(progress), read_dataset(data)
    crops = read_crops(photos, model.swap.resolution_px, aligned, run)
    pixels = hashlib.sha256(crops.numpy().tobytes()).hexdigest()
    key = _key(student, dataset.digest, pixels, config)
    claim(run, key, of="personalization", same="student, photos, data and settings")
    asked = dataclasses.asdict(config)
    asked["fit"]["dtype"] = note_dtype(run, config.fit.dtype)
    file = run / "latents.safetensors"
    others = encode_dataset(
        model.vae, model.swap, dataset, file, dataset.digest, progress=report("latents")
    )
    person = disguise(model, crops, others, config.others, config.fit.seed)
    objective = PersonalizeObjective(model, config, person, others)
    _prepare(model, config.fit)
    settings = _fit_config(objective, config, run, report("timing"))
    told = {"compute": compute, "cadence": cadence, "progress": report("fit")}
    if not fit(objective, settings, run / "fit", **told):
        return None
    return _personal(student, model, objective, asked, len(crops), run).save(out)


def _load(path: Path, compute: Compute) -> Checkpoint:
    model = Checkpoint.load(path).to(compute.weights, compute.device)
    if compute.device.type == "cpu":
        use_plain_attention(model.unet)  # faster than fused at these sizes
    return model


def _prepare(model: Checkpoint, machine: FitMachine) -> None:
    """Do what saves memory or time; the photos have been encoded by then."""
    prepare_unet(model.unet, machine, learns=True)
    if machine.offload:
        move([model.vae], torch.device("cpu"))


def _fit_config(
    objective: PersonalizeObjective, config: PersonalizeConfig, run: Path, progress: Any
) -> FitConfig:
    steps = budgeted_steps(objective, config, run / "fit.json", progress=progress)
    return config.fit.fit_config(
        steps, warmup_steps=min(20, max(1, steps // 5)), weight_decay=0.0, ema_decay=0.99
    )


def _personal(
    path: Path,
    student: Checkpoint,
    objective: PersonalizeObjective,
    asked: dict[str, Any],
    photos: int,
    run: Path,
) -> Checkpoint:
    """Assemble the student: as on disk, with the adapters added to its U-Net, and the consent."""
    kept = Checkpoint.load(path)
    adapters = trained_module(
        convert(student.unet, torch.float32, torch.device("cpu")), run / "fit"
    )
    copy_originals(adapters, kept.unet, objective.adapted)
    fuse(adapters, objective.adapted)
    details = {
        **asked,
        "photos": photos,
        "adapted_layers": len(objective.adapted),
        "figures": last_figures(run / "fit"),
    }
    swap = kept.swap.with_stage("personalize", details)
    return dataclasses.replace(kept, unet=adapters, swap=swap)


def _key(student: Path, data: str, photos: str, config: PersonalizeConfig) -> dict[str, str]:
    inputs = {
        "student": fingerprint(student),
        "dataset": data,
        "photos": photos,
        "config": settings_of(config),
    }
    return {"run": hashlib.sha256(canonical_json(inputs)).hexdigest()}
