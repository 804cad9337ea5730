"""Progress of a rendering on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOG_EVERY_S = 30.0
"""How often a line is written where stderr is no terminal."""


@contextlib.contextmanager
def drawn_progress(groups: int, pictures_per_group: int) -> Iterator[Callable[[int, bool], None]]:
    """Yield the callback of `render_dataset`, which draws rate and time left."""
    console = Console(file=sys.stderr)
    columns = (
        TextColumn("rendering"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("groups  {task.fields[rate]:.1f} images/s "),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    state = {"done": 0, "rendered": 0, "logged": start}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=groups, rate=0.0)

        def advance(count: int, rendered: bool) -> None:
            state["done"] += count
            state["rendered"] += count * rendered
            now = time.monotonic()
            rate = state["rendered"] / (now - start)
            bars.update(task, advance=count, rate=rate * pictures_per_group)
            if rendered and not console.is_terminal and now - state["logged"] > _LOG_EVERY_S:
                state["logged"] = now
                left = (groups - state["done"]) / rate
                console.print(
                    f"{state['done']}/{groups} groups, {rate * pictures_per_group:.1f} images/s, "
                    f"{left / 60:.0f} min left",
                    highlight=False,
                )

        yield advance
