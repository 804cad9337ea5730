"""Check what a distillation is given before anything slow, and before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeswap_compress._checks import (
    RUN_BYTES,
    check_checkpoint,
    check_identity_loss,
    check_out,
    check_run,
    vae_kind,
)
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.data.checks import check_pictures
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.errors import InvalidCheckpoint, InvalidSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillFiles:
    """Folders that a distillation reads, and where it keeps its state.

    Attributes:
        teacher: checkpoint that answers.
        student: checkpoint to start from.
        autoencoder: checkpoint whose small autoencoder the student gets; its own when None.
        data: rendered dataset.
        held_out: dataset for the figures; a part of ``data`` when None.
        run: caches and state.
        recognizer: ONNX file that judges identity in the figures; None for none.
    """

    teacher: Path
    student: Path
    autoencoder: Path | None
    data: Path
    held_out: Path | None
    run: Path
    recognizer: Path | None = None


def check_distillation(files: DistillFiles, out: Path, config: DistillConfig) -> None:
    """Check the folders of a distillation: that they are there, and go together.

    Args:
        files: the folders.
        out: checkpoint folder to write.
        config: of the distillation, which must be possible with these checkpoints.

    Raises:
        EdgeswapError: what is missing or wrong, and what to type.
    """
    check_out(out, need_bytes=RUN_BYTES)
    check_run(files.run)
    if files.recognizer is not None and not files.recognizer.is_file():
        raise InvalidSettings(
            f"{files.recognizer} is no file: expected a recognizer as .onnx; leave --judge out, "
            "and the figures say nothing of identity"
        )
    teacher, student = (
        check_checkpoint(path, velocity=False) for path in (files.teacher, files.student)
    )
    check_one_latent_space(teacher, student)
    teacher.sampling.start.kept(config.steps)
    check_identity_loss(files.teacher, teacher, config.losses.identity.weight)
    if config.losses.judge_samples and not teacher.encodes_source:
        raise InvalidSettings(
            f"--judge-samples trains a source encoder, and {files.teacher} has none: leave it out"
        )
    if files.autoencoder is not None:
        check_autoencoder(
            files.autoencoder, check_checkpoint(files.autoencoder, velocity=False), student
        )
    for pictures in (files.data, files.held_out):
        if pictures is not None:
            check_pictures(pictures, teacher)


def check_one_latent_space(teacher: SwapConfig, student: SwapConfig) -> None:
    """Refuse a student whose samples do not mean what its teacher's mean, or begin elsewhere.

    Raises:
        InvalidCheckpoint: they differ in size, channels, target, scale, start or blending.
    """
    names = ("resolution_px", "latent_channels", "latent_size", "prediction_target",
             "residual_std")  # fmt: skip
    for name in names:
        expected, found = getattr(teacher, name), getattr(student, name)
        if expected != found:
            raise InvalidCheckpoint(f"student's {name}", expected=expected, found=found)
    starts = [
        f"at {some.start.at}, strength {some.start.strength:g}, blend {some.blend}"
        for some in (teacher.sampling, student.sampling)
    ]
    if starts[0] != starts[1]:
        raise InvalidCheckpoint("student's start", expected=starts[0], found=starts[1])


def check_autoencoder(path: Path, other: SwapConfig, student: SwapConfig) -> None:
    """Refuse to lend a student an autoencoder that is not small, or has other latents.

    Args:
        path: checkpoint that lends it.
        other: its config.
        student: config of the student.

    Raises:
        InvalidCheckpoint: it is so.
    """
    if vae_kind(path) != "AutoencoderTiny":
        raise InvalidCheckpoint(
            f"{path}: vae",
            expected="a small autoencoder (edgeswap distill autoencoder makes one)",
            found=vae_kind(path),
        )
    shapes = [(c.latent_channels, c.latent_size) for c in (student, other)]
    if shapes[0] != shapes[1]:
        raise InvalidCheckpoint(
            f"{path}: channels and size of the latents", expected=shapes[0], found=shapes[1]
        )
