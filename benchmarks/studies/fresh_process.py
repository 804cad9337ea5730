"""Run a command line in a process of its own and measure it (used by other studies)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

EVERY_S = 0.5
"""Seconds between two looks at a process tree; its largest process is measured by the system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one command took, imports included.

    Attributes:
        seconds: wall time.
        cpu_seconds: of all threads and of all processes it started.
        peak_rss_gb: largest resident memory of the whole process tree, 10^9 bytes.
        load: the machine's load average at the end, for each core; above 1 wall time says little.
        told: what it printed, errors included.
        failed: its last line where the exit code was not 0, else None.
    """

    seconds: float
    cpu_seconds: float
    peak_rss_gb: float
    load: float
    told: str
    failed: str | None

    def to_json(self) -> dict[str, Any]:
        """All figures by name, and "failed" where it did."""
        row = asdict(self)
        del row["told"]
        return row if self.failed is not None else {k: v for k, v in row.items() if k != "failed"}


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end.

    Args:
        command: a program and its arguments.
        environment: variables that are set besides this process's.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    seen: list[int] = [0]
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(process.pid, seen, ended))
    watch.start()
    assert process.stdout is not None  # noqa: S101 it is a pipe
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    watch.join()
    failed = None
    if process.returncode:
        failed = (told.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    return Measured(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        # The kernel's own peak is of the largest process alone, and misses nothing in between.
        peak_rss_gb=max(usage.ru_maxrss * 1024, seen[0]) / 1e9,
        load=os.getloadavg()[0] / (os.cpu_count() or 1),
        told=told,
        failed=failed,
    )


def measure_edgeswap(
    words: Sequence[str], environment: Mapping[str, str] | None = None
) -> Measured:
    """Run one command of edgeswap; `words` are its arguments."""
    return measure([sys.executable, "-m", "edgeswap_runtime", *words], environment)


def measure_step(script: str, arguments: Sequence[str], step: str) -> dict[str, Any]:
    """Run one step of a study, `SCRIPT ARGUMENTS --step STEP`, by itself.

    Returns:
        what was measured, the step's name, and what it printed last as a JSON object in one line.
    """
    done = measure([sys.executable, script, *arguments, "--step", step])
    row = {"step": step, **done.to_json()}
    if done.failed is not None:
        return row
    printed = [line for line in done.told.splitlines() if line.startswith("{")]
    return {**row, **json.loads(printed[-1])}


def _watch(pid: int, seen: list[int], ended: threading.Event) -> None:
    """Keep the largest memory of a process tree, as the sum of its processes'."""
    try:
        root = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    while not ended.wait(EVERY_S):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            tree = (root, *root.children(recursive=True))
            seen[0] = max(seen[0], sum(map(_resident, tree)))


def _resident(process: psutil.Process) -> int:
    """Bytes of one process; 0 where it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0
