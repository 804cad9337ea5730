"""Check what the training of a decoder is given, before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_compress._checks import RUN_BYTES, check_checkpoint, check_out, check_run
from edgeswap_compress.data.checks import check_dataset
from edgeswap_compress.distill.decoder.config import TargetDecoderConfig, check_side

if TYPE_CHECKING:
    from pathlib import Path


def check_target_decoder(
    checkpoint: Path,
    config: TargetDecoderConfig,
    out: Path,
    *,
    data: Path,
    run: Path,
    held_out: Path | None,
) -> None:
    """Check the folders of the training of a decoder, and its patch size.

    Args:
        checkpoint: folder of the model whose decoder learns.
        config: size and training.
        out: checkpoint folder to write.
        data: rendered dataset, whose masks are exact.
        run: folder of the run's state; it may exist.
        held_out: dataset for the figures.

    Raises:
        EdgeswapError: what is missing or wrong, and what to type.
    """
    check_out(out, need_bytes=RUN_BYTES)
    check_run(run)
    swap = check_checkpoint(checkpoint, velocity=False)
    swap.sampling.start.kept(config.steps)
    if not (checkpoint / "overlay").is_dir():
        check_side(config, swap.resolution_px)
    for path in (data, held_out):
        if path is not None:
            check_dataset(path, swap)
