"""Calls timed in turns: order, warm-up, bounds in rounds and in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.timing import interleave

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeMachine:
    """A clock that calls push on; every tenth call takes longer by an interruption."""

    def __init__(self, interruption_ms: float = 0.0) -> None:
        self.now_ns, self.names, self.interruption_ms = 0, "", interruption_ms

    def call(self, name: str, ms: float) -> Callable[[], None]:
        def run() -> None:
            self.names += name
            late = self.interruption_ms if len(self.names) % 10 == 0 else 0.0
            self.now_ns += int((ms + late) * 1e6)

        return run

    def clock(self) -> int:
        return self.now_ns


def test_calls_take_turns_after_an_untimed_one_each() -> None:
    machine = FakeMachine()
    calls = {"a": machine.call("a", 1.5), 2: machine.call("b", 4)}
    told: list[tuple[int, int]] = []
    times = interleave(
        calls, 2, warm_up=1, progress=lambda *round: told.append(round), clock=machine.clock
    )
    assert machine.names == "aabb" * 3
    assert {name: found.tolist() for name, found in times.items()} == {"a": [1.5] * 2, 2: [4] * 2}
    assert told == [(1, 2), (2, 2)]


def test_fast_calls_may_run_more_often_a_round() -> None:
    machine = FakeMachine()
    calls = {"a": machine.call("a", 1), "b": machine.call("b", 9)}
    times = interleave(calls, 2, warm_up=0, repeats={"a": 3}, lead_in=False, clock=machine.clock)
    assert machine.names == "aaab" * 2
    assert times["a"].tolist() == [1] * 6 and times["b"].tolist() == [9] * 2


@pytest.mark.parametrize(
    ("call_ms", "interruption_ms", "rounds"),
    [(1.0, 0.0, 60), (1.0, 400.0, 60), (1000.0, 0.0, 5), (150.0, 4000.0, 7)],
)
def test_timing_is_bounded_in_rounds_and_in_time(
    call_ms: float, interruption_ms: float, rounds: int
) -> None:
    machine = FakeMachine(interruption_ms)
    calls = {"before": machine.call("b", call_ms), "after": machine.call("a", call_ms / 2)}
    times = interleave(calls, 60, most_s=20.0, clock=machine.clock)
    assert {len(found) for found in times.values()} == {rounds}
    round_s = (3 * call_ms + interruption_ms) / 1e3
    assert machine.now_ns / 1e9 <= max(20.0 + round_s, 8 * round_s)


def test_the_machine_s_own_clock_is_the_default() -> None:
    times = interleave({"": lambda: sum(range(1000))}, 3)
    assert times[""].shape == (3,) and (times[""] > 0).all()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"calls": {}}, "there is nothing to time"),
        ({"rounds": 0}, "0 rounds, 3 to warm up and 1 calls a round"),
        ({"warm_up": -1}, "-1 to warm up"),
        ({"repeats": {"a": 0}}, "and 0 calls a round: expected at least 1, 0 and 1"),
    ],
)
def test_impossible_numbers_are_refused_before_any_call(changed: dict[str, Any], told: str) -> None:
    machine = FakeMachine()
    arguments: dict[str, Any] = {"calls": {"a": machine.call("a", 1)}, "rounds": 1, **changed}
    with pytest.raises(InvalidRequest, match=told):
        interleave(**arguments)
    assert machine.names == ""
