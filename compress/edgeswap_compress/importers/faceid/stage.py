"""Import a base model and an IP-Adapter of faces."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgeswap_compress.importers.base.report import ImportReport
from edgeswap_compress.importers.base.stage import import_proven
from edgeswap_compress.importers.faceid.build import assemble
from edgeswap_compress.importers.faceid.proof import prove_adapter
from edgeswap_compress.importers.faceid.request import AdapterRequest


def import_adapter(request: AdapterRequest, out: Path) -> ImportReport:
    """Import a base model and an IP-Adapter of faces as a swap checkpoint, see `import_proven`.

    Args:
        request: the files, and how they are used.
        out: folder to write.
    """
    return import_proven(
        partial(assemble, request, out),
        partial(prove_adapter, request),
        out,
        proven_steps=request.settings.proven_steps,
    )
