"""Check options, folders, files and the disk before anything slow, and before torch is imported."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.diffusers_folder.config import check_noise_class
from edgeswap_compress.errors import InvalidCheckpoint, InvalidSettings
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.files import require_folder
from edgeswap_runtime.strict_json import JsonError, read_json_object

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

OPTIMIZERS = ("adamw", "muon")
SEED_BITS = 32
MINUTES = (1e-4, 1e5)
SAMPLES = (1, 1e12)
TARGETS = (1, 1_000_000)  # kept in memory and on disk, unlike samples
BATCH = (1, 65_536)
LEARNING_RATE = (0.0, 10.0)
WEIGHT = (0.0, 1e6)
SHARE = (0.0, 1.0)
STEPS = (1, 1000)
SECONDS = (0.0, 1e7)
THREADS = (1, 256)
RUN_BYTES = 256 * 1024**2
"""Free disk that a stage with a run folder asks for: state, caches and the checkpoint."""


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """Refuse a number outside [low, high], and one that is none; None is left to its default.

    Raises:
        InvalidSettings: it is outside.
    """
    if value is None or (math.isfinite(value) and low <= value <= high):
        return
    raise InvalidSettings(f"{name} {value}: expected {_number(low)} to {_number(high)}")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def check_ranges(config: Any, **ranges: tuple[float, float]) -> None:
    """Refuse fields of a config that are outside their ranges, see `check_range`.

    Raises:
        InvalidSettings: the first that is outside.
    """
    for name, (low, high) in ranges.items():
        check_range(name, getattr(config, name), low, high)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a word that is not among the choices.

    Raises:
        InvalidSettings: it is not.
    """
    if value not in choices:
        raise InvalidSettings(f"{name} {value!r}: expected one of {', '.join(choices)}")


def check_seed(seed: int) -> None:
    """Refuse a seed that not every generator of ours takes.

    Raises:
        InvalidSettings: it is negative or has more than 32 bits.
    """
    check_range("seed", seed, 0, 2**SEED_BITS - 1)


def check_samples(samples: int | None, batch_size: int) -> None:
    """Refuse fewer samples than one batch has.

    Raises:
        InvalidSettings: there are fewer.
    """
    if samples is not None and samples < batch_size:
        raise InvalidSettings(
            f"{samples} samples make no batch: expected --samples of at least the batch size, "
            f"{batch_size}"
        )


def check_habits(args: argparse.Namespace) -> None:
    """Check the options that every fitting command has: threads and the cadence.

    Raises:
        InvalidSettings: one is outside what is possible.
    """
    for name, (low, high) in (
        ("threads", THREADS),
        ("save_every", SECONDS),
        ("evaluate_every", SECONDS),
        ("stop_after", SECONDS),
    ):
        check_range("--" + name.replace("_", "-"), getattr(args, name, None), low, high)


def check_out(out: Path, *, folder: bool = True, need_bytes: int = 0) -> None:
    """Make sure that an output can be written: it is new, its place takes files, the disk has room.

    Args:
        out: file or folder to write; its parents need not exist.
        folder: which of the two it is.
        need_bytes: how much will be written, about.

    Raises:
        OutputExists: it exists.
        InvalidSettings: it cannot be written there.
    """
    if out.exists() or out.is_symlink():
        raise OutputExists(out)
    place = nearest(out.absolute().parent)
    what = "folder" if folder else "file"
    if not place.is_dir():
        raise InvalidSettings(f"{out} cannot be written: {place} is no folder; name another {what}")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InvalidSettings(
            f"{out} cannot be written: {place} takes no files from this user; name another {what}"
        )
    free = shutil.disk_usage(place).free
    if free < need_bytes:
        raise InvalidSettings(
            f"{place} has {free / 1e6:.0f} MB free: expected {need_bytes / 1e6:.0f} MB or more for "
            f"{out}; free some space or name another {what}"
        )


def check_run(run: Path) -> None:
    """Make sure that a run folder can be written; it may exist.

    Raises:
        InvalidSettings: it cannot be.
    """
    if run.exists() and not run.is_dir():
        raise InvalidSettings(f"{run} is no folder: name another with --run")
    check_out(run / "state", folder=False, need_bytes=RUN_BYTES)


def usual_run(out: Path) -> Path:
    """Name the run folder of an output where no other was asked for: beside it, OUT.run.

    Raises:
        InvalidSettings: OUT has no name, as "" and ".." have none.
    """
    if out.name in ("", ".."):
        raise InvalidSettings(f"OUT is '{out}': expected the name of a folder to write")
    return out.with_name(out.name + ".run")


def nearest(path: Path) -> Path:
    """Go up to the nearest ancestor that exists, or the path itself."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def check_checkpoint(path: Path, *, velocity: bool = True) -> SwapConfig:
    """Read what a swap checkpoint says of itself, before its weights are.

    Args:
        path: its folder.
        velocity: whether its U-Net has to predict v.

    Raises:
        BadFolder: it is no checkpoint.
        InvalidCheckpoint: it is one of a kind that is not understood.
    """
    file = path / "swap.json"
    require_folder(path, what="checkpoint", holds="swap.json", make="edgeswap train")
    raw = _read_json(file)
    raw.pop("files", None)
    swap = SwapConfig.from_json(raw, file)
    check_scheduler(path, velocity=velocity)
    if vae_kind(path) not in ("AutoencoderKL", "AutoencoderTiny"):
        raise InvalidCheckpoint(
            f"{path / 'vae'}", expected="an AutoencoderKL or an AutoencoderTiny",
            found=vae_kind(path),
        )  # fmt: skip
    return swap


def vae_kind(path: Path) -> str:
    """Name the class of a checkpoint's autoencoder."""
    return str(_read_json(path / "vae" / "config.json").get("_class_name"))


def check_scheduler(path: Path, *, velocity: bool) -> None:
    """Refuse a checkpoint whose scheduler states no noise by betas, or not what it must predict.

    Raises:
        InvalidCheckpoint: it is of another kind, or does not predict v where it must.
    """
    file = path / "scheduler" / "scheduler_config.json"
    settings = _read_json(file)
    check_noise_class(file, settings)
    found = settings.get("prediction_type")
    if velocity and found != "v_prediction":
        raise InvalidCheckpoint(f"{file}: prediction_type", expected="v_prediction", found=found)


def require_own_kind(path: Path, swap: SwapConfig, what: str) -> None:
    """Refuse a checkpoint of another kind than the packaged models'.

    Args:
        path: of the checkpoint.
        swap: its config.
        what: what asks for it, such as "edgeswap train --init".

    Raises:
        InvalidSettings: it is told of the source by something else than a source encoder alone, or
            samples something else than a residual.
        InvalidCheckpoint: it does not predict v.
    """
    if not swap.has_source_encoder or swap.prediction_target != "residual":
        told = ", ".join(part.kind for part in swap.conditions)
        raise InvalidSettings(
            f"{path} samples {swap.prediction_target} and is told of the source by {told}, and "
            f"{what} goes on with the packaged models' kind alone: expected a residual and a "
            "source encoder; use edgeswap distill, prune or personalize"
        )
    check_scheduler(path, velocity=True)


def check_identity_loss(path: Path, swap: SwapConfig, weight: float) -> None:
    """Refuse an identity loss where there is no source encoder to look through.

    Raises:
        InvalidSettings: there is none, and the loss has a weight.
    """
    if weight > 0 and not swap.encodes_source:
        raise InvalidSettings(
            f"the identity loss looks through a source encoder, and {path} has none: expected "
            "--identity-weight 0, which leaves that loss out"
        )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return read_json_object(file)
    except OSError as error:
        raise InvalidCheckpoint(str(file), expected="a JSON file", found=error.strerror) from error
    except JsonError as error:
        raise InvalidCheckpoint(str(file), expected="valid JSON", found=str(error)) from error
