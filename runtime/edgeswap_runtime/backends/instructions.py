"""Which instructions the processor has, as far as the system tells."""

from __future__ import annotations

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_EXACT_INT8 = {"avx512_vnni", "avx_vnni", "amx_int8"}


def processor_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """List the flags of the first processor (x86 and ARM); none where the system does not tell.

    Args:
        cpuinfo: Linux's list.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = (line.partition(":") for line in lines)
    flags = (value for name, _, value in found if name.strip() in ("flags", "Features"))
    return frozenset(next(flags, "").split())


def saturates_int8(cpuinfo: Path = CPUINFO) -> bool:
    """Tell whether fast INT8 products may saturate here: x86 not known to have VNNI or AMX.

    Such processors add two products in 16 bits, and 2 * 255 * 127 does not fit.
    """
    is_x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
    return is_x86 and not processor_flags(cpuinfo) & _EXACT_INT8
