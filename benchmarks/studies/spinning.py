"""Should ONNX Runtime's waiting threads spin? Swaps with and without, idle and beside busy others.

In turns in one process, by the same bundle: threads that spin, threads that sleep, one thread
alone. For each number of busy neighbors (processes that only count) the median and 90th percentile
of a whole swap, the least of all, which is nearest to an idle machine, and the processor time.

    python benchmarks/studies/spinning.py BUNDLE [--rounds 40] [--busy 0,1,2] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeswap_runtime import Bundle, Swapper, read_picture
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.pictures.portraits import packaged_portraits

WAYS: dict[str, dict[str, Any]] = {
    "spin": {"spinning": True},
    "sleep": {"spinning": False},
    "one thread": {"spinning": False, "threads": 1},
}


@contextlib.contextmanager
def busy_neighbors(count: int) -> Iterator[None]:
    """So many processes that take a core each."""
    line = [sys.executable, "-c", "while True: pass"]
    neighbors = [subprocess.Popen(line) for _ in range(count)]
    try:
        time.sleep(0.3)
        yield
    finally:
        for neighbor in neighbors:
            neighbor.kill()
            neighbor.wait()


def measure(bundle: Bundle, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a swap for each way, in turns."""
    portraits = packaged_portraits()
    source, target = read_picture(portraits[0]), read_picture(portraits[-1])
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    with contextlib.ExitStack() as stack:
        swaps = {}
        for name, options in WAYS.items():
            backend = OrtBackend(bundle.graph_paths(), **options)
            stack.callback(backend.close)
            swapper = stack.enter_context(Swapper.open(bundle, backend=backend))
            swaps[name] = (swapper, swapper.identity(source))
            swapper.swap(target, swaps[name][1])
        for _ in range(rounds):
            for name, (swapper, identity) in swaps.items():
                wall, processor = time.perf_counter(), time.process_time()
                swapper.swap(target, identity)
                spent[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {name: _summary(1e3 * np.array(values)) for name, values in spent.items()}


def _summary(values: np.ndarray) -> dict[str, float]:
    wall, processor = values.T
    return {
        "p50_ms": float(np.median(wall)),
        "p90_ms": float(np.percentile(wall, 90)),
        "least_ms": float(wall.min()),
        "processor_ms": float(np.median(processor)),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, help="a bundle folder")
    parser.add_argument("--rounds", type=int, default=40, help="swaps of each way (default 40)")
    parser.add_argument("--busy", default="0,1,2", help="numbers of neighbors (default 0,1,2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    report = {}
    for count in (int(word) for word in args.busy.split(",")):
        with busy_neighbors(count):
            report[str(count)] = measure(bundle, args.rounds)
        if not args.json:
            for name, row in report[str(count)].items():
                print(
                    f"{count} busy  {name:11}" + "".join(f"  {k} {v:.1f}" for k, v in row.items())
                )
    if args.json:
        print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
