"""What must be known of the machine for a timing to mean anything."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from edgeswap_runtime.doctor import examine


def environment() -> dict[str, Any]:
    """What `edgeswap doctor --json` says, without the advice, and how busy the machine is."""
    report = examine()
    del report["advice"], report["extras"]
    report["load_average"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    report["environment_variables"] = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("OMP_", "KMP_", "MKL_", "OPENBLAS_", "ORT_", "CUDA_VISIBLE"))
    }
    return report


def rss_bytes() -> int | None:
    """Resident memory of this process now; None where the system does not tell."""
    return _status_field("VmRSS")


def peak_rss_bytes() -> int | None:
    """The most resident memory this process ever had; None where the system does not tell."""
    found = _status_field("VmHWM")
    if found is not None or sys.platform == "win32":
        return found
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status_field(name: str, status: Path = Path("/proc/self/status")) -> int | None:
    if not status.is_file():
        return None
    for line in status.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None
