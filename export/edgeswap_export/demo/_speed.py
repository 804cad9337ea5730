"""How fast is this machine? A few seconds' try, to tell beforehand how long the demo takes."""

from __future__ import annotations

import ast
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 2
"""The least time of so many counts: what another program took away counts less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What two small pieces of work take here.

    Attributes:
        swap_s: a short swap of the teacher in torch, seconds.
        python_s: a piece of pure Python, seconds.
    """

    swap_s: float
    python_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A step's work, in pieces of the two kinds.

    Attributes:
        swaps: as much torch as so many short swaps of the teacher.
        python: as much Python as so many of the other pieces.
    """

    swaps: float = 0.0
    python: float = 0.0

    def seconds(self, speed: Speed) -> float:
        """How long it takes at a speed."""
        return self.swaps * speed.swap_s + self.python * speed.python_s


def measure_speed(
    swap: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> Speed:
    """Try both pieces of work.

    Args:
        swap: a short swap of the teacher.
        clock: seconds, monotonic.
    """
    swap()  # warms up
    return Speed(swap_s=_least(swap, clock), python_s=_least(_python, clock))


def expected(work: Mapping[str, Work], speed: Speed) -> dict[str, float]:
    """Step -> the seconds it is expected to take."""
    return {name: piece.seconds(speed) for name, piece in work.items()}


def _least(call: Callable[[], object], clock: Callable[[], float]) -> float:
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
