"""Time the stages of a swap, where the caller asks for it."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNTIMED: contextlib.AbstractContextManager[None] = contextlib.nullcontext()


class StageClock:
    """Adds up the time of each stage until `lap` is called.

    Hand it to the calls of a `Swapper`; a stage that runs several times, as `denoise` does, is
    summed.
    """

    def __init__(self) -> None:
        self._spent_ns: dict[str, int] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block under this name."""
        start = time.perf_counter_ns()
        yield
        spent = time.perf_counter_ns() - start
        self._spent_ns[name] = self._spent_ns.get(name, 0) + spent

    def lap(self) -> dict[str, int]:
        """Return stage -> nanoseconds since the last lap, by first use; begin a new lap."""
        spent, self._spent_ns = self._spent_ns, {}
        return spent


def timed(clock: StageClock | None, name: str) -> contextlib.AbstractContextManager[None]:
    """Return `clock.stage(name)`, or a context that does nothing without a clock."""
    return _UNTIMED if clock is None else clock.stage(name)
