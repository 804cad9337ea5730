"""Progress of long stages on stderr: bars in a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LINE_EVERY_S = 30.0

StageProgress = Callable[[str, int, int, str], None]
"""``report(stage, done, total, text)``"""


@contextmanager
def stage_progress() -> Iterator[StageProgress]:
    """A reporter that draws one bar a stage, with the time that is left."""
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
