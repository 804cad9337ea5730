"""Show the progress of long stages on stderr: bars in a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LINE_EVERY_S = 5.0
"""Where there is no terminal, a line follows the one before after so many seconds."""

StageProgress = Callable[[str, int, int, str], None]
"""``report(stage, done, total, text)``"""


@contextmanager
def steady(progress: StageProgress | None, every_s: float = 4.0) -> Iterator[StageProgress | None]:
    """Repeat the last report where nothing new came for a while, so that no stage falls silent.

    Args:
        progress: is also called from a thread of this function, never from two at once.
        every_s: seconds of silence before a repetition.
    """
    if progress is None:
        yield None
        return
    beat = _Beat(progress, every_s)
    try:
        yield beat
    finally:
        beat.close()


class _Beat:
    def __init__(self, progress: StageProgress, every_s: float) -> None:
        self._progress, self._every_s = progress, every_s
        self._last: tuple[str, int, int, str] | None = None
        self._lock, self._news, self._ended = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._thread.start()

    def __call__(self, stage: str, done: int, total: int, text: str) -> None:
        with self._lock:
            self._last = (stage, done, total, text)
            self._progress(*self._last)
        self._news.set()

    def _repeat(self) -> None:
        while not self._ended:
            heard = self._news.wait(self._every_s)
            self._news.clear()
            if heard or self._ended:
                continue
            with self._lock:
                if self._last is not None:
                    self._progress(*self._last)

    def close(self) -> None:
        self._ended = True
        self._news.set()
        self._thread.join()


@contextmanager
def stage_progress() -> Iterator[StageProgress]:
    """Open a reporter that draws one bar for each stage, with the time that is left.

    In a terminal these are bars of rich; elsewhere one line every `LINE_EVERY_S`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    columns = (
        TextColumn("{task.fields[stage]}"),
        BarColumn(20),
        TextColumn("{task.completed}/{task.total} {task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield _Bars(bars) if console.is_terminal else _Lines(console)


class _Bars:
    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int, text: str) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task("", total=total, stage=stage)
        self._bars.update(self._tasks[stage], completed=done, description=text)


class _Lines:
    def __init__(self, console: Any) -> None:
        self._console = console
        self._stage = ""
        self._first = (0, 0.0)  # steps done and time when the stage was first heard of
        self._logged = 0.0

    def __call__(self, stage: str, done: int, total: int, text: str) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._first, self._logged = stage, (done, now), now
        if now - self._logged < LINE_EVERY_S and done < total:
            return
        self._logged = now
        steps = done - self._first[0]
        left = (total - done) * (now - self._first[1]) / steps if steps else 0.0
        line = f"{stage} {done}/{total} {text}, {left / 60:.0f} min left"
        self._console.print(line, highlight=False, soft_wrap=True)
