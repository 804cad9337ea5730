"""Time cold starts and weigh memory, each in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from edgeswap_bench.measure.results import Memory, Start
from edgeswap_runtime.errors import EdgeswapFailure

if TYPE_CHECKING:
    from pathlib import Path

    from edgeswap_bench.measure.config import SwapOptions

_TIMEOUT_S = 900


def time_starts(bundle: Path, options: SwapOptions, count: int) -> tuple[Start, ...]:
    """Start `count` times with an empty cache of compiled kernels, and as often with a filled one.

    The operating system's cache of files is warm in both: emptying it needs rights that a
    benchmark should not have.

    Raises:
        EdgeswapFailure: a process failed, with its own words.
    """
    found = []
    for _ in range(count):
        with tempfile.TemporaryDirectory(prefix="edgeswap-bench-") as cache:
            found += [_start(bundle, options, cache, state) for state in ("empty", "filled")]
    return tuple(sorted(found, key=lambda start: start.cache))


def weigh(bundle: Path, options: SwapOptions) -> Memory:
    """Weigh a bundle graph by graph, and as a whole.

    Raises:
        EdgeswapFailure: a process failed, with its own words.
    """
    parts = _ask("weigh", bundle, options)
    whole = _ask("swap", bundle, options)
    return Memory(
        steps=parts["steps"],
        sum_bytes=sum(parts["steps"].values()),
        swapper_bytes=whole["swapper_bytes"],
        peak_bytes=whole["peak_bytes"],
    )


def _start(bundle: Path, options: SwapOptions, cache: str, state: str) -> Start:
    begun = time.monotonic_ns()
    marks = _ask("start", bundle, options, {"EDGESWAP_CACHE": cache})
    steady_ns = marks.pop("steady_ns")
    since = {name: (at - begun) / 1e6 for name, at in marks.items()}
    return Start(
        cache=state,
        interpreter_ms=since["interpreter"],
        imported_ms=since["imported"],
        opened_ms=since["opened"],
        first_ms=since["first"],
        second_swap_ms=since["second"] - since["first"],
        steady_ms=steady_ns / 1e6,
    )


def _ask(
    what: str, bundle: Path, options: SwapOptions, variables: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run the worker once and read its answer."""
    request = json.dumps({"bundle": str(bundle), **dataclasses.asdict(options)})
    command = [sys.executable, "-m", "edgeswap_bench.measure._fresh_worker", what, request]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={**os.environ, **(variables or {})},
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise EdgeswapFailure(f"a fresh process could not run {bundle}: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
