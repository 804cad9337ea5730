"""Describe the machine and the software: what must be known for a timing to mean anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgeswap_runtime.doctor import examine

_THREAD_VARIABLES = (
    "OMP_", "KMP_", "MKL_", "OPENBLAS_", "ORT_", "CUDA_VISIBLE", "ONEDNN_", "DNNL_", "ATEN_",
    "OV_", "TBB_",
)  # fmt: skip


def environment(root: Path = Path("/")) -> dict[str, Any]:
    """Describe this machine.

    Args:
        root: where `/sys` and `/proc` are looked for.

    Returns:
        JSON-ready: what `edgeswap doctor --json` says, without the advice, and besides
        `load_average`, `environment_variables` that set threads, `git_revision` of this
        installation, `power_mode` and `cpu_governor`.
    """
    report = examine()
    del report["advice"], report["extras"]
    report["load_average"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    report["environment_variables"] = {
        name: value for name, value in sorted(os.environ.items())
        if name.startswith(_THREAD_VARIABLES)
    }  # fmt: skip
    report["git_revision"] = git_revision(Path(__file__).parent)
    report["cpu_governor"] = _line(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    report["power_mode"] = _line(root / "var/lib/nvpmodel/status") or _line(
        root / "sys/firmware/acpi/platform_profile"
    )
    return report


def git_revision(folder: Path) -> str | None:
    """Read the commit a folder is at, with "+changes" where files differ from it.

    Returns:
        None outside a repository, or without git.
    """
    try:
        answers = [
            subprocess.run(
                ["git", "-C", str(folder), *words],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return answers[0] + ("+changes" if answers[1] else "")


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


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:  # not this kind of machine
        return None
