"""Time several things in turns: warm-up until they settle, then round after round."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime import EdgeswapError
from edgeswap_runtime.errors import EdgeswapFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeswap_bench.measure.config import BenchConfig
    from edgeswap_bench.measure.subject import Lap, Task, TimedSubject
    from edgeswap_bench.trust.watch import MachineWatch

_WARMUP_RUNS, _WARMUP_S = 60, 20.0
_WINDOW = 5
_STEADY = 0.03
"""Two windows of the warm-up agree when their medians differ by no more than this share."""
_REST_S = 0.08
"""Pause after another process ran: ONNX Runtime's threads go on turning for 40 ms after a run, and
so take a core from whatever comes next."""


class TimedRow:
    """One task of one subject while it is timed.

    Args:
        subject: what is timed.
        task: which of its tasks.

    Attributes:
        laps: the timed runs so far.
        error: what went wrong, in one line; None when all went well.
        warmup_ms: the untimed runs before.
        settled: whether the warm-up ended with a steady figure, or was of a fixed length.
    """

    def __init__(self, subject: TimedSubject, task: Task) -> None:
        self.subject, self.task = subject, task
        self.laps: list[Lap] = []
        self.error: str | None = None
        self.warmup_ms: list[float] = []
        self.settled = True

    def warm_up(self) -> None:
        """Run once, untimed."""
        lap = self._run()
        if lap is not None:
            self.warmup_ms.append(lap.total_ns / 1e6)

    def time(self, *, lead_in: bool) -> None:
        """Run once, timed; after an untimed run where other subjects ran in between."""
        if lead_in:
            self._run()
        lap = self._run()
        if lap is not None:
            self.laps.append(lap)

    def is_steady(self) -> bool:
        """Tell whether the last two windows of the warm-up agree."""
        if self.error is not None:
            return True
        if len(self.warmup_ms) < 2 * _WINDOW:
            return False
        old = np.median(self.warmup_ms[-2 * _WINDOW : -_WINDOW])
        new = np.median(self.warmup_ms[-_WINDOW:])
        return bool(abs(new - old) <= max(_STEADY * old, 0.02))

    def _run(self) -> Lap | None:
        """Do the task; after a failure, do nothing more."""
        if self.error is not None:
            return None
        try:
            return self.subject.run(self.task)
        except (EdgeswapError, EdgeswapFailure) as error:
            self.error = str(error)
            self.laps.clear()
            return None


def warm_up(rows: Sequence[TimedRow], runs: int | None) -> None:
    """Run everything in turns, untimed.

    Args:
        rows: what will be timed.
        runs: how often; None means until all of them are steady, bounded in runs and seconds.
    """
    if runs is not None:
        for _ in range(runs):
            for row in rows:
                row.warm_up()
        return
    start = time.monotonic()
    for _ in range(_WARMUP_RUNS):
        for row in rows:
            row.warm_up()
        if all(row.is_steady() for row in rows) or time.monotonic() - start > _WARMUP_S:
            break
    for row in rows:
        row.settled = row.is_steady()


def time_in_turns(
    rows: Sequence[TimedRow],
    config: BenchConfig,
    watch: MachineWatch,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Run everything in turns, timed, until there are runs and seconds enough.

    A machine that grows hot or busy so slows all of them alike. Where several subjects take
    turns, each gets an untimed run first: the others' threads are then asleep. After a subject in
    a process of its own there is a pause, until its threads sleep too.

    Args:
        rows: what is timed; one that fails is dropped, the others go on.
        config: how often and how long.
        watch: reads the machine between rounds.
        progress: called with rounds done and rounds expected.
    """
    lead_in = len({id(row.subject) for row in rows}) > 1
    start, done = time.monotonic(), 0
    last: TimedSubject | None = None
    while done < config.runs or time.monotonic() - start < config.seconds:
        for row in rows:
            if last is not None and last.pid is not None and last is not row.subject:
                time.sleep(_REST_S)
            row.time(lead_in=lead_in)
            last = row.subject
        done += 1
        watch.tick()
        if progress is not None:
            spent = time.monotonic() - start
            by_time = int(np.ceil(config.seconds * done / spent)) if spent else 0
            progress(done, max(done, config.runs, by_time))
        if all(row.error is not None for row in rows):
            break
