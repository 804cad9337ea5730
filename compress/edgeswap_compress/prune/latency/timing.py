"""Latency of calls, and of torch modules, timed side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

_WARM_UP = 3
FEWEST_RUNS = 5
MOST_S = 60.0

Clock = Callable[[], int]
"""Nanoseconds that never go back."""


def in_turns_ms(
    calls: Mapping[Any, Callable[[], Any]],
    *,
    runs: int,
    most_s: float = MOST_S,
    clock: Clock = time.perf_counter_ns,
) -> dict[Any, list[float]]:
    """Time calls in turns, so that all see the same machine.

    An untimed call goes before each timed one: the caches hold what the call before left there.

    Args:
        calls: at least one.
        runs: timed calls of each, after 3 rounds that do not count.
        most_s: seconds after which no further round is begun, once there are 5; a slow or busy
            machine takes fewer rounds, not more time.
        clock: replaces the machine's, for tests.

    Returns:
        Name -> milliseconds of every timed call, between 5 and `runs` of them (fewer than 5 where
        `runs` is).
    """
    times_ms: dict[Any, list[float]] = {name: [] for name in calls}
    started = clock()
    for turn in range(_WARM_UP + runs):
        if turn >= _WARM_UP + FEWEST_RUNS and clock() - started > most_s * 1e9:
            break
        for name, call in calls.items():
            call()
            begun = clock()
            call()
            if turn >= _WARM_UP:
                times_ms[name].append((clock() - begun) / 1e6)
    return times_ms


def interleaved_medians_ms(
    calls: Mapping[Any, Callable[[], Any]], *, runs: int
) -> dict[Any, float]:
    """The medians of `in_turns_ms`."""
    times_ms = in_turns_ms(calls, runs=runs)
    return {name: statistics.median(times) for name, times in times_ms.items()}


def fast_ms(times_ms: Sequence[float]) -> float:
    """The 10th percentile: what a call takes when nothing interrupts it."""
    return sorted(times_ms)[len(times_ms) // 10]


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
