"""Import a checkpoint in Paint by Example's layout."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgeswap_compress.importers.base.report import ImportReport
from edgeswap_compress.importers.base.stage import import_proven
from edgeswap_compress.importers.reface.build import assemble_example
from edgeswap_compress.importers.reface.proof import prove_example
from edgeswap_compress.importers.reface.request import ExampleRequest


def import_example(request: ExampleRequest, out: Path) -> ImportReport:
    """Import a `.ckpt` of Paint by Example's layout, or REFace's; see `import_proven`.

    Args:
        request: the files, and how they are used.
        out: folder to write.
    """
    return import_proven(
        partial(assemble_example, request, out),
        partial(prove_example, request),
        out,
        proven_steps=request.settings.proven_steps,
    )
