"""Latency of calls, and of torch modules, timed side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

_WARM_UP = 3


def in_turns_ms(calls: Mapping[Any, Callable[[], Any]], *, runs: int) -> dict[Any, list[float]]:
    """Every timed call in milliseconds, taken in turns so that all see the same machine.

    An untimed call goes before each timed one: the threads of the call before wait busily for more
    work, and would take the processor from this one.

    Args:
        calls: at least one.
        runs: timed calls of each, after 3 rounds that do not count.
    """
    times_ms: dict[Any, list[float]] = {name: [] for name in calls}
    for turn in range(_WARM_UP + runs):
        for name, call in calls.items():
            call()
            begun = time.perf_counter_ns()
            call()
            if turn >= _WARM_UP:
                times_ms[name].append((time.perf_counter_ns() - begun) / 1e6)
    return times_ms


def interleaved_medians_ms(
    calls: Mapping[Any, Callable[[], Any]], *, runs: int
) -> dict[Any, float]:
    """The medians of `in_turns_ms`."""
    times_ms = in_turns_ms(calls, runs=runs)
    return {name: statistics.median(times) for name, times in times_ms.items()}


def interleaved_fast_ms(calls: Mapping[Any, Callable[[], Any]], *, runs: int) -> dict[Any, float]:
    """The 10th percentiles instead: what a call takes when nothing interrupts it."""
    times_ms = in_turns_ms(calls, runs=runs)
    return {name: sorted(times)[len(times) // 10] for name, times in times_ms.items()}


def interleaved_ms(
    modules: Mapping[str, nn.Module], inputs: Mapping[str, Any], *, runs: int
) -> dict[str, float]:
    """Median latency of each module, timed in turns so that all see the same machine.

    Args:
        modules: at least one, on the CPU, in evaluation mode.
        inputs: keyword arguments that fit every module.
        runs: timed forward passes of each.

    Returns:
        Name -> median in milliseconds.
    """
    passes = {name: partial(module, **inputs) for name, module in modules.items()}
    with torch.inference_mode():
        return interleaved_medians_ms(passes, runs=runs)
