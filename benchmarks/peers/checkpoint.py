# /// script
# dependencies = ["edgeswap[compress]"]
# ///
"""A checkpoint in the reference torch pipeline: whole swaps of aligned crops, the source new.

`edgeswap bench BUNDLE --against CHECKPOINT` starts this. It takes float32 or bfloat16, whichever
is faster here.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _worker import serve, versions

from edgeswap_compress import Checkpoint, SwapPipeline


def swap_of(path: Path, dtype: torch.dtype) -> Callable[[], Any]:
    """One swap at the checkpoint's default steps."""
    pipeline = SwapPipeline.from_checkpoint(Checkpoint.load(path).to(dtype))
    side = pipeline.swap.resolution_px
    target, source = torch.randn(2, 1, 3, side, side, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    return lambda: pipeline(target, source, generator=generator)


def median_s(call: Callable[[], Any]) -> float:
    """The median of five, after one."""
    call()
    found = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    swaps = {str(dtype).removeprefix("torch."): swap_of(options.checkpoint, dtype)
             for dtype in (torch.float32, torch.bfloat16)}  # fmt: skip
    fastest = min(swaps, key=lambda name: median_s(swaps[name]))
    steps = Checkpoint.load(options.checkpoint).swap.default_steps
    settings = {"dtype": fastest, "threads": torch.get_num_threads(), "evaluations": steps,
                "versions": versions("torch", "diffusers")}  # fmt: skip
    raise SystemExit(serve({"crop": swaps[fastest]}, settings))
