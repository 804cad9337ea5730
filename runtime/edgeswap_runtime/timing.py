"""Time several calls in turns in one process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from numpy.typing import NDArray

WARM_UP_ROUNDS = 3
FEWEST_ROUNDS = 5
"""Timed rounds that are made even where the time is up before."""

Name = TypeVar("Name", bound="Hashable")


def interleave(
    calls: Mapping[Name, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = WARM_UP_ROUNDS,
    repeats: Mapping[Name, int] | None = None,
    lead_in: bool = True,
    most_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[Name, NDArray[np.float64]]:
    """Time calls in turns: round after round, each call once a round or as often as `repeats` says.

    Args:
        calls: name -> what to time; at least one.
        rounds: timed rounds, 1 or more.
        warm_up: rounds before them that do not count, 0 or more.
        repeats: name -> timed calls in a row within a round, for those that are not called once.
        lead_in: whether an untimed call goes before the timed ones of each turn. The threads of
            the calls before are then asleep, and the caches hold this call's data.
        most_s: seconds, warm-up included, after which no further round begins once there are
            `FEWEST_ROUNDS`: a slow machine makes fewer rounds; None for no limit.
        progress: called after each timed round with the rounds done and the rounds in all.
        clock: nanoseconds that never go back; replaces the machine's, for tests.

    Returns:
        Name -> (calls,) float64, milliseconds of every timed call in order, not rounded.

    Raises:
        InvalidRequest: there is nothing to call, or a number is out of its range.
    """
    often = {name: (repeats or {}).get(name, 1) for name in calls}
    _require_ranges(often, rounds, warm_up)
    spent_ms: dict[Name, list[float]] = {name: [] for name in calls}
    started = clock()
    for turn in range(-warm_up, rounds):
        if most_s is not None and turn >= FEWEST_ROUNDS and clock() - started > most_s * 1e9:
            break
        for name, call in calls.items():
            if lead_in:
                call()
            laps = [_lap_ms(call, clock) for _ in range(often[name])]
            if turn >= 0:
                spent_ms[name] += laps
        if progress is not None and turn >= 0:
            progress(turn + 1, rounds)
    return {name: np.array(laps) for name, laps in spent_ms.items()}


def _lap_ms(call: Callable[[], object], clock: Callable[[], int]) -> float:
    begun = clock()
    call()
    return (clock() - begun) / 1e6


def _require_ranges(often: Mapping[Name, int], rounds: int, warm_up: int) -> None:
    if not often:
        raise InvalidRequest("there is nothing to time: expected at least one call")
    if rounds < 1 or warm_up < 0 or min(often.values()) < 1:
        raise InvalidRequest(
            f"{rounds} rounds, {warm_up} to warm up and {min(often.values())} calls a round: "
            "expected at least 1, 0 and 1"
        )
