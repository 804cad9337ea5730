"""The personalization stage: a student and photos in, a student that knows the person out."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor

from edgeswap_compress._progress import StageProgress
from edgeswap_compress.checkpoint.folder import Checkpoint, convert
from edgeswap_compress.data import read_dataset
from edgeswap_compress.distill.phases import trained_module
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.latent_cache import encode_dataset
from edgeswap_compress.fit.loop import Cadence, fit
from edgeswap_compress.fit.processes import taken_dtype
from edgeswap_compress.fit.run_folder import claim, fingerprint, last_figures, reporter, settings_of
from edgeswap_compress.personalize._config import PersonalizeConfig, require_student
from edgeswap_compress.personalize._lora import copy_originals, fuse
from edgeswap_compress.personalize._objective import PersonalizeObjective
from edgeswap_compress.personalize._photos import disguise, read_crops
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.files import canonical_json


def personalize(
    student_path: Path,
    photos: Path,
    out: Path,
    config: PersonalizeConfig,
    *,
    data: Path,
    run: Path,
    aligned: bool = False,
    cadence: Cadence | None = None,
    progress: StageProgress | None = None,
) -> Path | None:
    """Teach a finished student one consenting person.

    Args:
        student_path: checkpoint that needs no guidance.
        photos: folder of about five photos of the person, or of aligned crops.
        out: new checkpoint folder.
        data: rendered dataset, for the faces in the disguises and for prior preservation.
        run: folder with the state; the same call continues a stopped run.
        aligned: whether the photos are aligned crops of the student's size.

    Returns:
        ``out``, or None if the cadence stopped it early.

    Raises:
        OutputExists: ``out`` exists.
        InvalidCheckpoint: the checkpoint needs guidance.
        UnusablePictures: a photo shows no face, or a crop has the wrong size.
        TrainingStopped: the run folder belongs to another call.
    """
    if out.exists():
        raise OutputExists(out)
    config = dataclasses.replace(config, dtype=taken_dtype(config.dtype))
    student = Checkpoint.load(student_path).to(getattr(torch, config.dtype))
    require_student(student_path, student.swap)
    student.unet.set_attn_processor(AttnProcessor())  # faster than fused at these sizes
    report, dataset = reporter(progress), read_dataset(data)
    crops = read_crops(photos, student.swap.resolution_px, aligned, run)
    pixels = hashlib.sha256(crops.numpy().tobytes()).hexdigest()
    claim(run, _key(student_path, dataset.digest, pixels, config))
    asked = {**dataclasses.asdict(config), "dtype": note_dtype(run, config.dtype)}
    file = run / "latents.safetensors"
    others = encode_dataset(
        student.vae, student.swap, dataset, file, dataset.digest, progress=report("latents")
    )
    person = disguise(student, crops, others, config.others, config.seed)
    objective = PersonalizeObjective(student, config, person, others)
    done = fit(objective, _fit_config(config), run / "fit", cadence=cadence, progress=report("fit"))
    if not done:
        return None
    return _personal(student_path, student, objective, asked, len(crops), run).save(out)


def _fit_config(config: PersonalizeConfig) -> FitConfig:
    return FitConfig(
        samples=config.samples,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=min(20, max(1, config.samples // config.batch_size // 5)),
        hold=0.4,
        weight_decay=0.0,
        ema_decay=0.99,
        seed=config.seed,
    )


def _personal(
    path: Path,
    student: Checkpoint,
    objective: PersonalizeObjective,
    asked: dict[str, Any],
    photos: int,
    run: Path,
) -> Checkpoint:
    """The student as it was on disk, with the adapters added to its U-Net, and the consent."""
    kept = Checkpoint.load(path)
    adapters = trained_module(convert(student.unet, torch.float32), run / "fit")
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
