"""Try for a few seconds how fast this machine is, to predict how long the demo takes."""

from __future__ import annotations

import ast
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 2
"""Tries of each piece of work; the shortest counts, which other programs disturb least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Times of three small pieces of work on this machine.

    Attributes:
        swap_s: a short swap of the teacher in torch float32, seconds.
        training_s: the same in the dtype that is fast for training here.
        python_s: a piece of pure Python work, seconds.
    """

    swap_s: float
    training_s: float
    python_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work of a step, as a multiple of each piece.

    Attributes:
        swaps: short swaps of the teacher in float32.
        training: short swaps in the dtype that is fast for training here.
        python: pieces of pure Python.
    """

    swaps: float = 0.0
    training: float = 0.0
    python: float = 0.0

    def seconds(self, speed: Speed) -> float:
        """Predict its seconds at a speed."""
        return (
            self.swaps * speed.swap_s
            + self.training * speed.training_s
            + self.python * speed.python_s
        )


def measure_speed(
    swap: Callable[[], object],
    training: Callable[[], object] | None,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Time the pieces of work.

    Args:
        swap: a short swap of the teacher in float32.
        training: the same in the dtype for training; None where that is float32 too.
        clock: seconds, monotonic.
    """
    swap_s = _least(swap, clock)
    training_s = swap_s if training is None else _least(training, clock)
    return Speed(swap_s=swap_s, training_s=training_s, python_s=_least(_python, clock))


def expected(work: Mapping[str, Work], speed: Speed) -> dict[str, float]:
    """Predict the seconds of each step."""
    return {name: piece.seconds(speed) for name, piece in work.items()}


def _least(call: Callable[[], object], clock: Callable[[], float]) -> float:
    call()  # warm-up
    times = []
    for _ in range(ROUNDS):
        begun = clock()
        call()
        times.append(clock() - begun)
    return min(times)


def _python() -> None:
    source = inspect.getsource(inspect)
    for _ in range(3):
        compile(ast.parse(source), "inspect.py", "exec")
