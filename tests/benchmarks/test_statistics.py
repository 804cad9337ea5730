"""Percentiles against numbers worked out by hand."""

from __future__ import annotations

import pytest

from edgeswap_bench import Timing


def test_percentiles_of_a_known_series() -> None:
    timing = Timing.of([int(1e6 * value) for value in range(1, 102)])  # 1..101 ms
    assert (timing.n, timing.p50, timing.p90, timing.p99) == (101, 51.0, 91.0, 100.0)
    assert timing.mean == 51.0
    assert timing.samples_ms[:3] == (1.0, 2.0, 3.0)


def test_percentiles_interpolate() -> None:
    timing = Timing.of([1_000_000, 2_000_000])
    assert timing.p50 == pytest.approx(1.5)
    assert timing.p90 == pytest.approx(1.9)


def test_nothing_is_rounded() -> None:
    assert Timing.of([1_234_567]).p50 == 1.234567
