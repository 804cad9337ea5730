"""Check what a training is given before anything slow, and before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_compress._checks import (
    RUN_BYTES,
    check_checkpoint,
    check_out,
    check_run,
    require_own_kind,
)
from edgeswap_compress.data.checks import check_dataset
from edgeswap_compress.errors import InvalidSettings
from edgeswap_runtime.files import require_folder

if TYPE_CHECKING:
    from pathlib import Path

    from edgeswap_compress.train.config import TeacherConfig


def check_training(
    data: Path,
    config: TeacherConfig,
    out: Path,
    *,
    held_out: Path,
    run: Path,
    init: Path | None,
) -> None:
    """Check the folders of a training; pictures are read later.

    Args:
        data: folder to learn from.
        config: of the training.
        out: checkpoint folder to write.
        held_out: folder that is never trained on.
        run: folder of the run's state; it may exist.
        init: checkpoint folder to go on from.

    Raises:
        EdgeswapError: what is missing or wrong, and what to type.
    """
    check_out(out, need_bytes=RUN_BYTES)
    check_run(run)
    for asked, option in (
        (config.start.widen_latents, "--widen-latents"),
        (config.start.enlarge_crops, "--enlarge-crops"),
    ):
        if asked and init is None:
            raise InvalidSettings(
                f"{option} is of no use without --init: name a checkpoint to go on from"
            )
    swap = None if init is None else check_checkpoint(init, velocity=False)
    if init is not None and swap is not None:
        require_own_kind(init, swap, "edgeswap train --init")
    if config.start.enlarge_crops:
        swap = None  # the pictures' size is checked where the crops are enlarged
    from edgeswap_compress.data.shards import MANIFEST

    for path in (data, held_out):
        if (path / MANIFEST).is_file():
            check_dataset(path, swap)
        else:
            require_folder(path, what="dataset", holds=(), make="edgeswap data render")
