"""Name what is timed: a task of a subject, one lap at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgeswap_runtime.backends.protocol import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to time.

    Attributes:
        name: one of `TASKS`.
        height_px: of the target, for pictures.
        width_px: of the target, for pictures.
    """

    name: str
    height_px: int | None = None
    width_px: int | None = None

    def __str__(self) -> str:
        if self.height_px is None:
            return self.name
        return f"{self.name} {self.width_px} x {self.height_px}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """One timed run.

    Attributes:
        total_ns: all of it.
        stages: stage -> nanoseconds, for tasks that have stages.
        graphs: graph -> (nanoseconds in it, how often it ran).
    """

    total_ns: int
    stages: dict[str, int] = field(default_factory=dict)
    graphs: dict[str, tuple[int, int]] = field(default_factory=dict)


class TimedSubject(Protocol):
    """Something that can be timed: a bundle on a backend, or a worker process.

    Attributes:
        label: what to call it in a report; unique in a run.
        kind: "bundle", "checkpoint" or "peer".
        tasks: names of the tasks it can do.
        pid: of the process that does them; None where it is this one.
    """

    label: str
    kind: str
    tasks: tuple[str, ...]
    pid: int | None

    def run(self, task: Task) -> Lap:
        """Do the task once.

        Raises:
            EdgeswapError: it cannot.
            EdgeswapFailure: it failed.
        """

    def describe(self) -> dict[str, Any]:
        """What it is, JSON-ready: `settings`, `artifact` (path, name, hash, bytes), `quality`."""

    def close(self) -> None:
        """Give everything back; calling it again does nothing."""


class GraphClock:
    """A backend that times every graph of another one, and the copies to and from the device.

    It meets the `Backend` protocol; closing it does not close the other.

    Args:
        backend: the one that does the work.
    """

    def __init__(self, backend: Backend[Any]) -> None:
        self._backend = backend
        self._spent: dict[str, tuple[int, int]] = {}

    def upload(self, array: NDArray[Any]) -> Any:
        """Copy an array to the device."""
        start = time.perf_counter_ns()
        buffer = self._backend.upload(array)
        self._add("copies", start)
        return buffer

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run a graph to its end."""
        start = time.perf_counter_ns()
        outputs = self._backend.run(graph, inputs)
        self._add(graph, start)
        return outputs

    def download(self, buffer: Any) -> NDArray[Any]:
        """Copy a buffer to an array."""
        start = time.perf_counter_ns()
        array = self._backend.download(buffer)
        self._add("copies", start)
        return array

    def close(self) -> None:
        """Do nothing: the other backend is its owner's to close."""

    def lap(self) -> dict[str, tuple[int, int]]:
        """Graph (or "copies") -> (nanoseconds, runs) since the last lap; starts a new one."""
        spent, self._spent = self._spent, {}
        return spent

    def _add(self, name: str, start: int) -> None:
        spent = time.perf_counter_ns() - start
        before, runs = self._spent.get(name, (0, 0))
        self._spent[name] = (before + spent, runs + 1)
