"""Summarize repeated timings: percentiles that the number of runs supports, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Of every interval in a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % interval, in the unit of the figure it belongs to.

    Attributes:
        low: its lower end.
        high: its upper end.
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Hold repeated timings of one thing, in milliseconds, none rounded.

    A percentile is None where too few runs were made to bound it on both sides: p50 needs 6 runs,
    p90 needs 36 and p99 needs 368. Their intervals come from order statistics alone, so they
    assume no shape of the distribution.

    Attributes:
        n: runs, warm-up excluded; at least 1.
        median: the middle value, always stated.
        p50: the same, where n supports it, else None.
        p90: 90th percentile, linearly interpolated between neighbors, or None.
        p99: 99th percentile, likewise.
        max: the slowest run.
        mean: arithmetic mean.
        p50_interval: 95 % interval of p50, or None.
        p90_interval: 95 % interval of p90, or None.
        p99_interval: 95 % interval of p99, or None.
        samples_ms: every single one, in the order they were taken.
    """

    n: int
    median: float
    p50: float | None
    p90: float | None
    p99: float | None
    max: float
    mean: float
    p50_interval: Interval | None
    p90_interval: Interval | None
    p99_interval: Interval | None
    samples_ms: tuple[float, ...]

    @classmethod
    def of(cls, samples_ns: Sequence[int]) -> Timing:
        """Summarize timings in nanoseconds.

        Args:
            samples_ns: at least one.
        """
        samples = np.asarray(samples_ns, dtype=np.float64) / 1e6
        values, intervals = {}, {}
        for percent in (50, 90, 99):
            found = quantile_interval(samples, percent / 100)
            intervals[percent] = found
            values[percent] = float(np.percentile(samples, percent)) if found else None
        return cls(
            n=len(samples),
            median=float(np.median(samples)),
            p50=values[50],
            p90=values[90],
            p99=values[99],
            max=float(samples.max()),
            mean=float(samples.mean()),
            p50_interval=intervals[50],
            p90_interval=intervals[90],
            p99_interval=intervals[99],
            samples_ms=tuple(samples.tolist()),
        )


def quantile_interval(samples: Sequence[float] | NDArray[np.float64], q: float) -> Interval | None:
    """Bound a quantile of the population by two of the sorted samples.

    The number of samples below the quantile is binomial, whatever the distribution is, so the
    k-th smallest lies below it with a known probability.

    Args:
        samples: independent measurements of one thing.
        q: 0 to 1, exclusive.

    Returns:
        An interval that covers the quantile with at least 95 %; None with too few samples.

    Source: David and Nagaraja, Order Statistics, 3rd edition, section 7.1.
    """
    n = len(samples)
    below = _binomial_cdf(n, q)  # below[k]: P(at most k samples lie below the quantile)
    tail = (1 - CONFIDENCE) / 2
    low = int(np.searchsorted(below, tail, side="right"))  # P(count < low) <= tail
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1  # P(count >= high) <= tail
    if low < 1 or high > n:
        return None
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    return Interval(low=float(ordered[low - 1]), high=float(ordered[high - 1]))


def runs_needed(q: float) -> int:
    """Count the runs that `quantile_interval` needs to bound this quantile.

    Args:
        q: 0 to 1, exclusive.
    """
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(max(q, 1 - q)))


def ratio_of_pairs(first_ms: Sequence[float], second_ms: Sequence[float]) -> tuple[float, Interval]:
    """Compare two things that were timed in turns: the median of first / second, round by round.

    What slows a whole round cancels out.

    Args:
        first_ms: one value a round.
        second_ms: the same rounds' values of the other.

    Returns:
        The median ratio, and its interval; the interval is all there is (least to largest ratio)
        where there are too few rounds to bound the median.
    """
    ratios = np.asarray(first_ms) / np.asarray(second_ms)
    found = quantile_interval(ratios, 0.5)
    everything = Interval(low=float(ratios.min()), high=float(ratios.max()))
    return float(np.median(ratios)), found or everything


def ratio_of_medians(
    first_ms: Sequence[float], second_ms: Sequence[float], *, resamples: int = 2000
) -> tuple[float, Interval]:
    """Compare two things that were timed apart: the ratio of their medians, by bootstrap.

    Args:
        first_ms: timings of one.
        second_ms: timings of the other, of any number.
        resamples: how often both are drawn again, with a fixed seed.

    Returns:
        The ratio and its percentile interval.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, section 13.3.
    """
    random = np.random.default_rng(0)
    tail = (1 - CONFIDENCE) / 2
    drawn = []
    for samples in (first_ms, second_ms):
        values = np.asarray(samples, dtype=np.float64)
        picks = random.integers(0, len(values), (resamples, len(values)))
        drawn.append(np.median(values[picks], axis=1))
    low, high = np.quantile(drawn[0] / drawn[1], [tail, 1 - tail]).tolist()
    ratio = float(np.median(first_ms) / np.median(second_ms))
    return ratio, Interval(low=low, high=high)


def _binomial_cdf(n: int, q: float) -> NDArray[np.float64]:
    """Cumulative probabilities of 0 … n successes."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(n + 1)
    chances = logs[n] - logs - logs[::-1] + k * math.log(q) + (n - k) * math.log1p(-q)
    result: NDArray[np.float64] = np.cumsum(np.exp(chances))
    return result
