"""Check what a distillation of an autoencoder is given, before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_compress._checks import RUN_BYTES, check_checkpoint, check_out, check_run, vae_kind
from edgeswap_compress.data.checks import check_pictures
from edgeswap_compress.distill.autoencoder.config import SmallAutoencoderConfig, patch_levels
from edgeswap_compress.errors import InvalidCheckpoint

if TYPE_CHECKING:
    from pathlib import Path


def check_shrinking(
    checkpoint: Path,
    config: SmallAutoencoderConfig,
    out: Path,
    *,
    data: Path,
    run: Path,
    held_out: Path | None,
) -> None:
    """Check the folders of the distillation of an autoencoder, and its patch size.

    Args:
        checkpoint: folder of one with a large autoencoder.
        config: size of the small one.
        out: checkpoint folder to write.
        data: dataset of any kind.
        run: folder of the run's state; it may exist.
        held_out: dataset for the figures.

    Raises:
        EdgeswapError: what is missing or wrong, and what to type.
    """
    check_out(out, need_bytes=RUN_BYTES)
    check_run(run)
    swap = check_checkpoint(checkpoint, velocity=False)
    kind = vae_kind(checkpoint)
    if kind != "AutoencoderKL":
        raise InvalidCheckpoint(
            f"{checkpoint}: vae", expected="an AutoencoderKL to learn from", found=kind
        )
    patch_levels(config, swap)
    for path in (data, held_out):
        if path is not None:
            check_pictures(path, swap)
