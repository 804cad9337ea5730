"""Choose how many threads a backend uses, and how OpenMP's threads wait."""

from __future__ import annotations

import operator
import os
import sys

from edgeswap_runtime.errors import InvalidRequest

THREADS_PER_CORE = 4
"""More threads than this for each core only wait for one another."""


def usable_cores() -> int:
    """Return how many of the machine's cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def require_threads(threads: object) -> int | None:
    """Check a number of threads before anything is loaded.

    Args:
        threads: a whole number, or None for the backend's own choice.

    Returns:
        it, as a Python int.

    Raises:
        InvalidRequest: it is no whole number, below 1, or more than `THREADS_PER_CORE` for each
            core of the machine.
    """
    if threads is None:
        return None
    most = THREADS_PER_CORE * (os.cpu_count() or 1)
    try:
        count = operator.index(threads)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if isinstance(threads, bool) or not 1 <= count <= most:
        raise InvalidRequest(
            f"threads is {threads!r}, expected at least 1 and at most {most}: "
            f"{THREADS_PER_CORE} for each core of this machine"
        )
    return count


def let_waiting_threads_sleep() -> None:
    """Make OpenMP's waiting threads sleep instead of spin.

    A spinning thread takes the processor from the thread it waits for as soon as another program
    runs: on two cores beside one busy program a small U-Net took 15 times as long. OpenMP reads
    the setting when torch is loaded, so that this does nothing afterwards; and nothing where
    OMP_WAIT_POLICY is set already.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
