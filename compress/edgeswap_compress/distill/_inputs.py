"""Load what a distillation learns from: teacher and student, and the pairs of its folders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import works_normalized
from edgeswap_compress.conditioning.attention import use_plain_attention
from edgeswap_compress.data import Pictures, open_pictures
from edgeswap_compress.distill._compatibility import (
    DistillFiles,
    check_autoencoder,
    check_one_latent_space,
)
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.few_steps import as_student, begins_at_noise
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_compress.fit.machine.options import FitMachine
from edgeswap_compress.fit.machine.savings import prepare_unet
from edgeswap_compress.fit.material.encode import EncodedPictures, encode_pictures
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.fit.pairing import pairing_of
from edgeswap_compress.fit.processes import processes
from edgeswap_runtime.strict_json import read_json_object


def load_student(path: Path, autoencoder: Path | None) -> Checkpoint:
    """Load a student as it begins: with the schedule of few steps, see `as_student`.

    Args:
        path: its folder.
        autoencoder: checkpoint that lends it a small autoencoder; its own when None.

    Raises:
        InvalidCheckpoint: that one's autoencoder is not small, or has latents of another shape.
    """
    student = as_student(Checkpoint.load(path))
    if autoencoder is None:
        return student
    other = Checkpoint.load(autoencoder)
    check_autoencoder(autoencoder, other.swap, student.swap)
    made = [entry for entry in other.swap.history if entry["stage"] == "distill-autoencoder"]
    swap = dataclasses.replace(
        student.swap, latents=other.swap.latents, history=(*student.swap.history, *made[-1:])
    )
    return dataclasses.replace(student, vae=other.vae, swap=swap)


def load_pair(
    teacher: Path, student: Checkpoint, machine: FitMachine
) -> tuple[Checkpoint, Checkpoint]:
    """Load teacher and student where they compute, checked to work in one latent space.

    Args:
        teacher: its folder.
        student: as loaded; it is converted in place.
        machine: the device and dtype, and what saves memory there.

    Raises:
        InvalidCheckpoint: they do not, or one is damaged.
    """
    compute = machine.compute()
    both = tuple(
        model.to(compute.weights, compute.device) for model in (Checkpoint.load(teacher), student)
    )
    both[0].scheduler = begins_at_noise(both[0].scheduler)
    for model in both:
        if compute.device.type == "cpu":
            use_plain_attention(model.unet)  # faster than fused at these sizes
        prepare_unet(model.unet, machine, learns=model is student)
    check_one_latent_space(both[0].swap, both[1].swap)
    if not any(works_normalized(model.vae) for model in both):
        spaces = [(model.swap.latents.mean, model.swap.latents.std) for model in both]
        if spaces[0] != spaces[1]:
            raise InvalidCheckpoint(
                "student's autoencoder", expected="the teacher's latent space", found="another"
            )
    return both[0], both[1]


def load_inputs(
    teacher: Checkpoint,
    student: Checkpoint,
    config: DistillConfig,
    files: DistillFiles,
    report: Callable[[str], Any],
) -> DistillInputs:
    """Encode the folders, or read what was encoded, as each of the two models sees them.

    Args:
        teacher: where it computes.
        student: likewise.
        config: of the distillation.
        files: the folders, and the run's, which keeps what was encoded.
        report: name of a phase -> its progress.
    """
    stated = read_json_object(files.student / "scheduler" / "scheduler_config.json")
    pairs = _pair_set(teacher, student, files.data, "latents", config, files.run, report)
    held_out = pairs
    if files.held_out is not None:
        held_out = _pair_set(
            teacher, student, files.held_out, "latents-heldout", config, files.run, report
        )
    return DistillInputs(
        student=student,
        teacher=teacher,
        pairs=pairs,
        held_out=held_out,
        judge=teacher.conditioner,
        config=config,
        recognizer=files.recognizer,
        refits=stated["prediction_type"] != student.scheduler.config.prediction_type,
    )


def _pair_set(
    teacher: Checkpoint,
    student: Checkpoint,
    path: Path,
    name: str,
    config: DistillConfig,
    run: Path,
    report: Callable[[str], Any],
) -> PairSet:
    """Encode one folder; the run folder is one pair's, so the names say whose latents they are."""
    pictures, flips = open_pictures(path, loose=True), name == "latents"

    def encoded(model: Checkpoint, whose: str) -> EncodedPictures:
        file = run / f"{whose}-{name}.safetensors"
        return encode_pictures(model, pictures, file, flips=flips, report=report)

    with processes().main_first():  # the others read the cache
        seen = own = encoded(teacher, "teacher")
        if works_normalized(student.vae):
            own = encoded(student, "student")
    return PairSet(
        known=seen.latents,
        own=own.latents,
        pairing=pairing_of(pictures, config.pairs.self_share),
        features=seen.features,
        own_features=own.features,
    )


def pictures_of_run(files: DistillFiles) -> tuple[Pictures, Pictures]:
    """Open the folders to learn from and for the figures."""
    return tuple(  # type: ignore[return-value]
        open_pictures(path, loose=True) for path in (files.data, files.held_out or files.data)
    )
