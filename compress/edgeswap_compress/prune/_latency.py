"""Latency of modules, timed side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_WARM_UP = 3


def interleaved_ms(
    modules: Mapping[str, nn.Module], inputs: Mapping[str, Any], *, runs: int
) -> dict[str, float]:
    """Median latency of each module, timed in turns so that all see the same machine.

    Args:
        modules: at least one, on the CPU, in evaluation mode.
        inputs: keyword arguments that fit every module.
        runs: timed forward passes of each, after 3 untimed ones.

    Returns:
        Name -> median in milliseconds.
    """
    times_ms: dict[str, list[float]] = {name: [] for name in modules}
    with torch.inference_mode():
        for turn in range(_WARM_UP + runs):
            for name, module in modules.items():
                begun = time.perf_counter_ns()
                module(**inputs)
                if turn >= _WARM_UP:
                    times_ms[name].append((time.perf_counter_ns() - begun) / 1e6)
    return {name: statistics.median(times) for name, times in times_ms.items()}
