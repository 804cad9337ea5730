"""Report the progress of a command of several steps: step, share done, time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Say = Callable[[str], None]
Clock = Callable[[], float]

QUIET_S = 5.0
"""Seconds without a line after which the current step is reported again."""

PACES = (0.3, 10.0)
"""Range of the factor by which finished steps correct the expected time of the others."""


class StepProgress:
    """The progress of several steps in order, reported at least every few seconds.

    Args:
        expected_s: step -> the seconds expected for it, in order.
        say: called with each line, by one thread at a time.
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
        """Expected seconds of all steps together."""
        return sum(self._expected.values())

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step, as a context manager; `took_s` then holds its seconds."""
        with self._lock:
            self._step, self._doing, self._step_began = name, "", self._clock()
            self._speak()
        yield
        with self._lock:
            self.took_s[name] = self._clock() - self._step_began

    def doing(self, what: str) -> None:
        """Set what the step is doing, such as "writing graph encode", and report it if new."""
        with self._lock:
            news, self._doing = what != self._doing, what
            if news and self._clock() - self._spoke >= 1.0:
                self._speak()

    def tick(self) -> None:
        """Report the current step if there was no line for QUIET_S."""
        with self._lock:
            if self._step and self._clock() - self._spoke >= QUIET_S:
                self._speak()

    @contextmanager
    def watched(self, every_s: float = 1.0) -> Iterator[None]:
        """Call `tick` from a thread while the steps run."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(every_s):
                self.tick()

        thread = threading.Thread(target=watch, name="edgeswap-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def left_s(self) -> float:
        """Estimate the seconds left, corrected by the steps that are done."""
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
    """Write seconds as minutes and seconds, such as "2:05"."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
