"""`edgeswap bench BUNDLE --acceptance`: the command line of it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_bench.acceptance.accept import Acceptance, accept, require_here
from edgeswap_bench.report.files import require_new_file
from edgeswap_bench.report.table import table
from edgeswap_runtime.files import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_bench.measure.config import BenchConfig


def check_request(out: Path, *, overwrite: bool) -> None:
    """Check everything that can be known before anything slow.

    Raises:
        DeviceNotGranted: no GPU.
        BackendMissing: no cuda-bindings.
        OutputExists: the report is there already.
        InvalidRequest: the report cannot be written there.
    """
    require_new_file(out, overwrite=overwrite)
    require_here()


def run_acceptance(
    bundle: Path,
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    config: BenchConfig,
    out: Path,
) -> tuple[Acceptance, str]:
    """Accept a bundle and write the report.

    Returns:
        What was found, and the same as text.
    """
    with tempfile.TemporaryDirectory(prefix="edgeswap-acceptance-") as folder:
        found = accept(bundle, source, target, config, Path(folder), _tell)
    write_json(out, found.to_json())
    return found, f"{acceptance_table(found)}\n\n{table(found.report)}\n\nwrote {out}"


def acceptance_table(found: Acceptance) -> str:
    """Write the checks as lines of text."""
    lines = [
        f"{found.gpu.name}, {found.gpu.architecture}, {found.gpu.memory_bytes / 2**30:.0f} GiB"
    ]
    lines += [
        f"{check.state:8} {check.backend:16} {check.name:22} {check.detail}"
        for check in found.checks
    ]
    return "\n".join([*lines, "accepted" if found.accepted else "NOT accepted"])


def _tell(line: str) -> None:
    """Say what is being done, on standard error."""
    sys.stderr.write(f"{line}\n")
