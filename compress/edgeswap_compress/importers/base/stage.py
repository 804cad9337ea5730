"""The frame of every import: put together, prove, and only then write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.importers.base.parity import steps_to_prove
from edgeswap_compress.importers.base.report import ImportReport


class Made(Protocol):
    """An imported model in memory, and whatever its proof needs besides."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, float32."""


M = TypeVar("M", bound=Made)


def import_proven(
    assemble: Callable[[Path], M],
    prove: Callable[[M], float | None],
    out: Path,
    *,
    proven_steps: int | None,
) -> ImportReport:
    """Import a model as a swap checkpoint, which is written only where its proof holds.

    Args:
        assemble: checks and reads everything, given an existing folder for files that have to be
            made, which lasts until the checkpoint is written.
        prove: compares the result with diffusers' own pipeline: the largest difference in standard
            deviations, or None where diffusers has no such pipeline.
        out: folder to write.
        proven_steps: that were asked for, see `steps_to_prove`.

    Returns:
        what was made, and how near it is to diffusers' own pipeline.

    Raises:
        ImportRefused: something is missing, does not fit, or is not reproduced.
        OutputExists: the folder exists already.
    """
    with tempfile.TemporaryDirectory() as work:
        made = assemble(Path(work))
        difference = prove(made)
        checkpoint = made.checkpoint
        # costs are counted at this size, and the file's own is that of its owner's pictures
        checkpoint.unet.register_to_config(sample_size=checkpoint.swap.latent_size)
        checkpoint.save(out)
    return ImportReport(
        path=out,
        difference=difference,
        steps=0 if difference is None else steps_to_prove(checkpoint, proven_steps),
        parameters=sum(p.numel() for p in checkpoint.unet.parameters()),
    )
