"""What every peer does: load the U-Net, say that it is ready, evaluate it whenever it is told to.

A peer is a process (`edgeswap_bench/compare/worker.py` is the other end). It reads the name of a
task on standard input, does it once, and prints how many nanoseconds it took.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def arguments(doc: str | None) -> argparse.Namespace:
    """Read what `table.py` gives to every peer."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint or U-Net folder")
    parser.add_argument("--onnx", type=Path, required=True, help="the same U-Net as ONNX")
    parser.add_argument("--inputs", type=Path, required=True, help="its inputs, as npz")
    parser.add_argument("--answer", type=Path, required=True, help="where the output is put")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads")
    parser.add_argument("--dtype", default="float32", help="what to compute in, where it can")
    return parser.parse_args()


def inputs(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Load the inputs, by name."""
    with np.load(options.inputs) as stored:
        return {name: stored[name] for name in stored.files}


def versions(*packages: str) -> dict[str, str]:
    """Look up the versions of packages."""
    return {name: importlib.metadata.version(name) for name in packages}


def serve(
    tasks: Mapping[str, Callable[[], Any]],
    settings: dict[str, Any],
    answer: Path | None = None,
) -> int:
    """Answer until standard input ends.

    Args:
        tasks: name -> a function that does it once; "unet" returns the output as an array.
        settings: what is said of this peer: versions, threads, dtype.
        answer: where the output of "unet" is put, to be compared with the others'.
    """
    if answer is not None:
        np.save(answer, np.asarray(tasks["unet"](), dtype=np.float32))
    _say({"ready": {"tasks": list(tasks), "settings": settings}})
    for line in sys.stdin:
        call = tasks[line.strip()]
        start = time.perf_counter_ns()
        call()
        _say({"total_ns": time.perf_counter_ns() - start})
    return 0


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
