"""Which checkpoints fit together, told by their configs alone."""

from __future__ import annotations

from pathlib import Path

from edgeswap_compress._checks import vae_kind
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.errors import InvalidCheckpoint


def check_one_latent_space(teacher: SwapConfig, student: SwapConfig) -> None:
    """Refuse a student whose samples do not mean what its teacher's mean.

    Raises:
        InvalidCheckpoint: they differ in size, channels, target or scale.
    """
    names = ("resolution_px", "latent_channels", "latent_size", "prediction_target",
             "residual_std")  # fmt: skip
    for name in names:
        expected, found = getattr(teacher, name), getattr(student, name)
        if expected != found:
            raise InvalidCheckpoint(f"student's {name}", expected=expected, found=found)


def check_autoencoder(path: Path, other: SwapConfig, student: SwapConfig) -> None:
    """Refuse to lend a student an autoencoder that is not small, or has other latents.

    Args:
        path: checkpoint that lends it.
        other: its config.

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
