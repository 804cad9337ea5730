"""Where a long command is: which step of how many, what share is done, how much time is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Say = Callable[[str], None]
Clock = Callable[[], float]

QUIET_S = 5.0
"""A step that has said nothing for so long is spoken for."""

PACES = (0.3, 10.0)
"""How far the steps that are done may correct what is expected of those to come."""


class Journey:
    """Says of a number of steps, in order, where they are, and never falls silent.

    Args:
        expected_s: step -> seconds that it is expected to take, in order.
        say: is given each line; called from one thread at a time.
        clock: seconds, monotonic.
    """

    def __init__(
        self, expected_s: Mapping[str, float], say: Say, clock: Clock = time.monotonic
    ) -> None:
        self.took_s: dict[str, float] = {}
        self._expected, self._say, self._clock = dict(expected_s), say, clock
        self._lock = threading.RLock()
        self._began = self._step_began = self._spoke = clock()
        self._step, self._doing = "", ""

    @property
    def expected_s(self) -> float:
        """Seconds that all steps together are expected to take."""
        return sum(self._expected.values())

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Do one step; how long it took is in `took_s` afterwards."""
        with self._lock:
            self._step, self._doing, self._step_began = name, "", self._clock()
            self._speak()
        yield
        with self._lock:
            self.took_s[name] = self._clock() - self._step_began

    def doing(self, what: str) -> None:
        """Note what the step is at, such as "writing graph encode", and say it if it is new."""
        with self._lock:
            news, self._doing = what != self._doing, what
            if news and self._clock() - self._spoke >= 1.0:
                self._speak()

    def tick(self) -> None:
        """Say where things are, if nothing was said for a while."""
        with self._lock:
            if self._step and self._clock() - self._spoke >= QUIET_S:
                self._speak()

    @contextmanager
    def watched(self, every_s: float = 1.0) -> Iterator[None]:
        """Tick from a thread beside the steps."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(every_s):
                self.tick()

        thread = threading.Thread(target=watch, name="edgeswap-journey", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def left_s(self) -> float:
        """Seconds that are left, as far as the steps that are done tell."""
        spent = self._clock() - self._step_began
        done = sum(self.took_s.values())
        known = sum(self._expected[name] for name in self.took_s)
        pace = min(max(done / known, PACES[0]), PACES[1]) if known else 1.0
        ahead = [name for name in self._expected if name not in self.took_s]
        rest = sum(self._expected[name] for name in ahead if name != self._step)
        here = self._expected[self._step] if self._step in ahead else 0.0
        return pace * rest + max(pace * here - spent, 0.1 * pace * here)

    def _speak(self) -> None:
        now, left = self._clock(), self.left_s()
        share = (now - self._began) / max(now - self._began + left, 1e-9)
        number = list(self._expected).index(self._step) + 1
        told = f": {self._doing}" if self._doing else ""
        self._spoke = now
        self._say(
            f"[{number}/{len(self._expected)}] {self._step}{told}"
            f" ({share:.0%} done, about {clock_time(left)} left)"
        )


def clock_time(seconds: float) -> str:
    """Minutes and seconds, such as "2:05"."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
