"""The stage clock."""

from __future__ import annotations

import time

import pytest

from edgeswap_runtime import StageClock
from edgeswap_runtime._clock import timed


def test_stages_add_up_until_the_lap() -> None:
    clock = StageClock()
    for _ in range(3):
        with clock.stage("denoise"):
            time.sleep(0.002)
    with timed(clock, "decode"):
        pass
    spent = clock.lap()
    assert list(spent) == ["denoise", "decode"]
    assert spent["denoise"] >= 6_000_000 > spent["decode"]
    assert clock.lap() == {}


def test_without_a_clock_nothing_is_made() -> None:
    assert timed(None, "a") is timed(None, "b")
    with timed(None, "a"):
        pass


def test_a_stage_that_fails_is_not_counted() -> None:
    clock = StageClock()
    with pytest.raises(ZeroDivisionError), clock.stage("denoise"):
        raise ZeroDivisionError
    assert clock.lap() == {}
