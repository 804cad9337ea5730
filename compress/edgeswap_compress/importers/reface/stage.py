"""Import a checkpoint in Paint by Example's layout: check, put together, prove, then write."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgeswap_compress.importers.base.parity import steps_to_prove
from edgeswap_compress.importers.base.report import ImportReport
from edgeswap_compress.importers.reface.build import assemble_example
from edgeswap_compress.importers.reface.proof import prove_example
from edgeswap_compress.importers.reface.request import ExampleRequest


def import_example(request: ExampleRequest, out: Path) -> ImportReport:
    """Import a `.ckpt` of Paint by Example's layout, or REFace's, as a swap checkpoint.

    Args:
        request: the files, and how they are used.
        out: folder to write.

    Returns:
        what was made, and how near it is to diffusers' own pipeline.

    Raises:
        ImportRefused: something is missing, does not fit, or is not reproduced.
        OutputExists: the folder exists already.
    """
    with tempfile.TemporaryDirectory() as work:
        made = assemble_example(request, out, Path(work))
        difference = prove_example(request, made)
        made.checkpoint.save(out)
    return ImportReport(
        path=out,
        difference=difference,
        steps=steps_to_prove(made.checkpoint, request.settings.proven_steps),
        parameters=sum(p.numel() for p in made.checkpoint.unet.parameters()),
    )
