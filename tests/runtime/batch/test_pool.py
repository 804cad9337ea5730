"""The pool, with workers that die on purpose."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from edgeswap_runtime.batch.pool import MAX_TRIES, WorkerDied, swap_all
from edgeswap_runtime.batch.targets import BatchPicture
from edgeswap_runtime.errors import BatchRefused

PICTURES = [
    BatchPicture(target=Path(f"{n}.png"), name=PurePosixPath(f"{n}.png")) for n in range(40)
]


class Workers:
    """Opens workers, some of which die; counts what they did."""

    def __init__(self, dies: Any = lambda _picture, _times: False) -> None:
        self.dies = dies
        self.begun: Counter[str] = Counter()
        self.opened = self.closed = self.killed = 0
        self.lock = threading.Lock()

    def open(self, _: threading.Event) -> Any:
        with self.lock:
            self.opened += 1
        return Worker(self)


class Worker:
    def __init__(self, of: Workers) -> None:
        self.of = of

    def swap(self, picture: BatchPicture, out: Path) -> dict[str, Any]:
        with self.of.lock:
            self.of.begun[out.name] += 1
            times = self.of.begun[out.name]
        if self.of.dies(int(picture.target.stem), times):
            raise WorkerDied("it died")
        return {"done": "swapped"}

    def close(self) -> None:
        with self.of.lock:
            self.of.closed += 1

    def kill(self) -> None:
        with self.of.lock:
            self.of.killed += 1


def _run(workers: Workers, count: int) -> dict[str, str]:
    with closing(swap_all(PICTURES, Path("out"), workers.open, count)) as results:  # type: ignore[type-var]
        told = [(str(picture.name), result["done"]) for picture, result in results]
    assert len(told) == len(PICTURES), "each picture once"
    return dict(told)


@pytest.mark.parametrize("count", [1, 3, 100])
def test_every_picture_once(count: int) -> None:
    workers = Workers()
    assert _run(workers, count) == {str(picture.name): "swapped" for picture in PICTURES}
    assert set(workers.begun.values()) == {1}
    assert workers.opened == workers.closed <= min(count, 40)


@pytest.mark.parametrize("count", [1, 3])
def test_what_a_dead_worker_held_is_done_by_another(count: int) -> None:
    workers = Workers(lambda picture, times: picture % 7 == 0 and times == 1)
    assert set(_run(workers, count).values()) == {"swapped"}
    assert workers.opened == workers.closed
    assert sum(workers.begun.values()) == 40 + 6


@pytest.mark.parametrize("count", [1, 3])
def test_a_picture_that_kills_every_worker_is_a_failure(count: int) -> None:
    workers = Workers(lambda picture, _: picture == 5)
    told = _run(workers, count)
    assert told.pop("5.png") == "failed"
    assert set(told.values()) == {"swapped"}
    assert workers.begun["5.png"] == MAX_TRIES


def test_settings_that_are_refused_end_it() -> None:
    def refuse(_: threading.Event) -> Any:
        raise BatchRefused("no face found in a.png")

    with pytest.raises(BatchRefused, match="no face found"):
        list(swap_all(PICTURES, Path("out"), refuse, 2))


def test_workers_that_never_start_end_it() -> None:
    def die(_: threading.Event) -> Any:
        raise WorkerDied("the process ended with code 1")

    with pytest.raises(WorkerDied, match="code 1"):
        list(swap_all(PICTURES, Path("out"), die, 2))


def test_a_caller_that_stops_early_leaves_no_thread() -> None:
    before = threading.active_count()
    workers = Workers()
    with closing(swap_all(PICTURES, Path("out"), workers.open, 2)) as results:  # type: ignore[type-var]
        next(iter(results))
    assert threading.active_count() == before
    assert workers.opened == workers.closed
