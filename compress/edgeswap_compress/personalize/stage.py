"""The personalization stage: a student and photos in, a student that knows the person out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._checks import usual_run
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.folder import Checkpoint, convert
from edgeswap_compress.checkpoint.pipeline import SwapPipeline
from edgeswap_compress.conditioning.attention import use_plain_attention
from edgeswap_compress.data import Pictures, open_pictures
from edgeswap_compress.fit.loop import Cadence, Draw
from edgeswap_compress.fit.machine.device import Compute
from edgeswap_compress.fit.machine.savings import move, prepare_unet
from edgeswap_compress.fit.material.encode import encode_pictures
from edgeswap_compress.fit.material.pairs import PairSet, pixels_at
from edgeswap_compress.fit.pairing import Pairing, pairing_of
from edgeswap_compress.fit.processes import processes
from edgeswap_compress.fit.run_folder import fingerprint, trained_module
from edgeswap_compress.fit.stage import FIT, CheckpointFit, StageHabits, fit_checkpoint
from edgeswap_compress.personalize._lora import copy_originals, fuse
from edgeswap_compress.personalize.checks import check_personalization
from edgeswap_compress.personalize.config import PersonalizeConfig
from edgeswap_compress.personalize.objective import PersonalizeObjective
from edgeswap_compress.personalize.photos import (
    Crops,
    PersonPictures,
    person_pictures,
    read_crops,
)
from edgeswap_compress.progress import StageProgress


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
    """Teach a finished model one consenting person.

    Args:
        student: folder of a checkpoint; it swaps in its own steps and guidance.
        config: the consent, and how to learn.
        out: new checkpoint folder.
        photos: folder of about five photos of the person, or of aligned crops.
        data: dataset of other people of any kind, for the faces in the disguises and for prior
            preservation; the packaged one when None.
        run: folder with the state, which the same call continues; ``OUT.run`` when None.
        aligned: whether the photos are aligned crops of the student's size.
        cadence: how often to save and evaluate; when to stop early.
        progress: told how much is done.

    Returns:
        ``out``, or None if the cadence stopped it early.

    Raises:
        OutputExists: ``out`` exists.
        InvalidCheckpoint: the checkpoint is damaged.
        InvalidSettings: its condition is a plugin's, or it has nothing for the identity loss.
        UnusablePictures: a photo shows no face, or a crop has the wrong size.
        TrainingStopped: the run folder belongs to another call.
    """
    run, data = run or usual_run(out), data or calibration_dataset()
    check_personalization(student, config, out, photos=photos, data=data, run=run, aligned=aligned)
    swap, others = Checkpoint.load(student).swap, open_pictures(data, loose=True)
    crops = read_crops(photos, swap.model_crop, aligned, run)

    stage: CheckpointFit[PersonalizeConfig, PersonalizeObjective] = CheckpointFit(
        name="fit",
        of="personalization",
        same="student, photos, data and settings",
        inputs={
            "student": fingerprint(student),
            "dataset": others.digest,
            "photos": hashlib.sha256(crops.tobytes()).hexdigest(),
        },
        objective=lambda decided, report: _objective(student, crops, others, decided, run, report),
        settings=_settings,
        made=lambda fitted, details: _personal(student, fitted, details, len(crops), run),
        cadence=Cadence(),
    )
    habits = StageHabits(cadence=cadence, progress=progress)
    return fit_checkpoint(stage, config, out, run, habits)


def _settings(steps: int) -> dict[str, Any]:
    return {"warmup_steps": min(20, max(1, steps // 5)), "weight_decay": 0.0, "ema_decay": 0.99}


def _objective(
    student: Path,
    crops: Crops,
    others: Pictures,
    config: PersonalizeConfig,
    run: Path,
    report: Any,
) -> PersonalizeObjective:
    """Build what is fitted."""
    model = _load(student, config.fit.compute())
    with processes().main_first():  # the others read what is kept
        pairs = _pairs(model, crops, others, config, run, report)
    found = PersonalizeObjective(model, config, *pairs)
    prepare_unet(model.unet, config.fit, learns=True)
    if config.fit.offload:  # everything has been encoded
        move([model.vae], torch.device("cpu"))
    return found


def _load(path: Path, compute: Compute) -> Checkpoint:
    model = Checkpoint.load(path).to(compute.weights, compute.device)
    if compute.device.type == "cpu":
        use_plain_attention(model.unet)  # faster than fused at these sizes
    return model


def _pairs(
    model: Checkpoint,
    crops: Crops,
    others: Pictures,
    config: PersonalizeConfig,
    run: Path,
    report: Callable[[str], Any],
) -> tuple[PersonPictures, PairSet, PairSet]:
    """Disguise the photos, and encode them and the other people."""
    pairing = pairing_of(others, 0.0)
    rng = Draw.of(config.fit.seed, 0).rng
    faces, _ = pixels_at(others, pairing.draw(rng, len(others), config.others).source)
    pictures = person_pictures(
        SwapPipeline.from_checkpoint(model), crops, faces, config.fit.seed,
        run / "disguises.safetensors", report("disguises"),
    )  # fmt: skip

    def encoded(some: Pictures, name: str, *, flips: bool, pairing: Pairing | None) -> PairSet:
        seen = encode_pictures(model, some, run / f"{name}.safetensors", flips=flips, report=report)
        return PairSet(
            known=seen.latents, own=seen.latents, pairing=pairing, features=seen.features
        )

    person = encoded(pictures, "person", flips=False, pairing=None)
    return pictures, person, encoded(others, "latents", flips=True, pairing=pairing)


def _personal(
    path: Path, fitted: PersonalizeObjective, details: dict[str, Any], photos: int, run: Path
) -> Checkpoint:
    """Assemble the student: as on disk, with the adapters added to its U-Net, and the consent."""
    kept = Checkpoint.load(path)
    adapters = convert(fitted.module, torch.float32, torch.device("cpu"))
    trained_module(adapters, run / FIT)
    copy_originals(adapters, kept.unet, fitted.adapted)
    fuse(adapters, fitted.adapted)
    details |= {"photos": photos, "adapted_layers": len(fitted.adapted)}
    swap = kept.swap.with_stage("personalize", details)
    return dataclasses.replace(kept, unet=adapters, swap=swap)
