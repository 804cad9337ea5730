"""Interleaved timing: every candidate once or more a round, so that noise hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something to time: a call, and how often it runs a round (fast ones run more often)."""

    call: Callable[[], object]
    repeats: int = 1


def interleave(
    candidates: Mapping[str, Candidate],
    rounds: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[float]]:
    """Time the candidates in turn, after one warm-up call each.

    Returns:
        Name -> milliseconds of every call, in order; nothing is rounded.
    """
    for candidate in candidates.values():
        candidate.call()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for done in range(rounds):
        for name, candidate in candidates.items():
            for _ in range(candidate.repeats):
                begun = time.perf_counter_ns()
                candidate.call()
                times[name].append((time.perf_counter_ns() - begun) / 1e6)
        progress(done + 1, rounds)
    return times


def summary(times_ms: Sequence[float]) -> dict[str, float]:
    """Median, fastest, slowest and count."""
    return {
        "median_ms": statistics.median(times_ms),
        "min_ms": min(times_ms),
        "max_ms": max(times_ms),
        "n": len(times_ms),
    }
