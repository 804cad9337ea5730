"""Import an adapter: check, put together, prove, and only then write."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgeswap_compress.importers.base.parity import steps_to_prove
from edgeswap_compress.importers.base.report import ImportReport
from edgeswap_compress.importers.faceid.build import assemble
from edgeswap_compress.importers.faceid.proof import prove_adapter
from edgeswap_compress.importers.faceid.request import AdapterRequest


def import_adapter(request: AdapterRequest, out: Path) -> ImportReport:
    """Import a base model and an IP-Adapter of faces as a swap checkpoint.

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
        made = assemble(request, out, Path(work))
        difference = prove_adapter(request, made)
        made.checkpoint.save(out)
    return ImportReport(
        path=out,
        difference=difference,
        steps=steps_to_prove(made.checkpoint, request.settings.proven_steps),
        parameters=sum(p.numel() for p in made.checkpoint.unet.parameters()),
    )
