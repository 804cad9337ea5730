"""Percentiles and intervals against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgeswap_bench import Timing
from edgeswap_bench._statistics import (
    Interval,
    quantile_interval,
    ratio_of_medians,
    ratio_of_pairs,
    runs_needed,
)


def test_percentiles_of_a_known_series() -> None:
    timing = Timing.of([int(1e6 * value) for value in range(1, 402)])  # 1..401 ms
    assert (timing.n, timing.p50, timing.p90, timing.p99) == (401, 201.0, 361.0, 397.0)
    assert (timing.median, timing.mean, timing.max) == (201.0, 201.0, 401.0)
    assert timing.samples_ms[:3] == (1.0, 2.0, 3.0)


def test_percentiles_interpolate_and_nothing_is_rounded() -> None:
    assert Timing.of([1_000_000, 2_000_000]).median == pytest.approx(1.5)
    assert Timing.of([1_234_567]).median == 1.234567


@pytest.mark.parametrize(("q", "name", "needed"), [(0.5, "p50", 6), (0.9, "p90", 36),
                                                  (0.99, "p99", 368)])  # fmt: skip
def test_a_percentile_is_stated_only_where_it_is_bounded(q: float, name: str, needed: int) -> None:
    assert runs_needed(q) == needed
    enough = Timing.of(list(range(1, needed + 1)))
    few = Timing.of(list(range(1, needed)))
    assert getattr(enough, name) is not None and getattr(enough, f"{name}_interval") is not None
    assert getattr(few, name) is None and getattr(few, f"{name}_interval") is None


def test_the_median_of_ten_lies_between_the_second_and_the_ninth() -> None:
    """P(2 <= B < 9) = 0.979 for B ~ Bin(10, 1/2), and P(3 <= B < 8) = 0.89."""
    assert quantile_interval([10.0 * k for k in range(1, 11)], 0.5) == Interval(low=20, high=90)


def test_intervals_cover_what_they_say() -> None:
    random = np.random.default_rng(0)
    for q in (0.5, 0.9):
        truth = -np.log(1 - q)  # of the exponential distribution
        found = [quantile_interval(random.exponential(size=60), q) for _ in range(600)]
        hits = sum(f is not None and f.low <= truth <= f.high for f in found)
        assert hits / 600 >= 0.93


def test_pairs_cancel_what_slows_a_whole_round() -> None:
    load = np.array([1, 5, 1, 9, 1, 2, 1, 3], float)
    ratio, interval = ratio_of_pairs((3 * load).tolist(), (2 * load).tolist())
    assert ratio == pytest.approx(1.5) and interval.low == pytest.approx(interval.high)


def test_two_rounds_bound_a_ratio_by_all_they_saw() -> None:
    assert ratio_of_pairs([2, 6], [1, 2]) == (2.5, Interval(low=2, high=3))


def test_the_ratio_of_medians_has_an_interval_around_it() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(12, 1, 80).tolist(), random.normal(10, 1, 50).tolist()
    ratio, interval = ratio_of_medians(first, second)
    assert interval.low < ratio < interval.high
    assert 1.1 < interval.low < 1.2 < interval.high < 1.3
    assert ratio_of_medians([4.0], [2.0]) == (2.0, Interval(low=2, high=2))
