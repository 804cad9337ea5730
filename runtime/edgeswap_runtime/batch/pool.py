"""Hand pictures to workers, one at a time to each, and hand those of a dead worker out again."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgeswap_runtime.batch.targets import BatchPicture

    OpenWorker = Callable[[threading.Event], "PictureWorker | None"]

MAX_TRIES = 3
"""How often a picture is handed out: one that ends its worker every time is a failure."""
MAX_BAD_STARTS = 3
"""How often in a row a worker may end before it is ready."""


class WorkerDied(Exception):
    """A worker ended before it answered; the message says how."""


class PictureWorker(Protocol):
    """Swaps one picture at a time, somewhere."""

    def swap(self, picture: BatchPicture, out: Path) -> dict[str, Any]:
        """Swap a picture; raise WorkerDied where the worker ended meanwhile."""

    def close(self) -> None:
        """End the worker."""

    def kill(self) -> None:
        """End the worker at once."""


def swap_all(
    pictures: Sequence[BatchPicture], out: Path, open_worker: OpenWorker, count: int
) -> Iterator[tuple[BatchPicture, dict[str, Any]]]:
    """Swap pictures by several workers.

    Args:
        pictures: what to swap.
        out: the folder that their names are relative to.
        open_worker: opens a worker; gives None where the event was set before it could.
        count: how many workers at once.

    Yields:
        each picture once, with what `PictureSwapper.swap` gives, in the order they are finished.
        When the caller stops early, the workers are killed.

    Raises:
        EdgeswapError: a worker refuses the settings.
        WorkerDied: workers end again and again before they are ready.
    """
    shared = _Shared(pictures, out, open_worker)
    threads = [
        threading.Thread(target=shared.work, name=f"edgeswap-batch-{number}", daemon=True)
        for number in range(min(count, len(pictures)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in pictures:
            result = shared.results.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        shared.stop()
        for thread in threads:
            thread.join()


class _Shared:
    """What the threads share: the pictures to do, the results, the workers alive."""

    def __init__(
        self, pictures: Sequence[BatchPicture], out: Path, open_worker: OpenWorker
    ) -> None:
        self.results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting = deque((picture, 1) for picture in pictures)
        self._out = out
        self._open_worker = open_worker
        self._ended = threading.Event()
        self._busy: set[PictureWorker] = set()
        self._lock = threading.Lock()

    def work(self) -> None:
        """Open a worker and give it pictures until there are none; a thread's whole life."""
        try:
            while self._waiting and not self._ended.is_set():
                worker = self._open()
                if worker is None:
                    return
                with self._holding(worker):
                    self._feed(worker)
        except BaseException as error:  # noqa: BLE001 told to the caller's thread, which raises it
            self.results.put(error)

    def stop(self) -> None:
        """Begin nothing new, and kill the workers that are still busy."""
        self._ended.set()
        with self._lock:
            busy = list(self._busy)
        for worker in busy:
            worker.kill()

    def _open(self) -> PictureWorker | None:
        for _ in range(MAX_BAD_STARTS - 1):
            with contextlib.suppress(WorkerDied):
                return self._open_worker(self._ended)
        return self._open_worker(self._ended)

    @contextlib.contextmanager
    def _holding(self, worker: PictureWorker) -> Iterator[None]:
        with self._lock:
            self._busy.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(worker)
            worker.close()

    def _feed(self, worker: PictureWorker) -> None:
        """Give a worker pictures until it dies or there are none."""
        while not self._ended.is_set():
            try:
                picture, tries = self._waiting.popleft()
            except IndexError:
                return
            try:
                result = worker.swap(picture, self._out / picture.name)
            except WorkerDied as error:
                if self._ended.is_set():
                    return
                if tries < MAX_TRIES:
                    self._waiting.append((picture, tries + 1))
                else:
                    why = f"{error}, {tries} times while it swapped {picture.target}"
                    failed = {"done": "failed", "kind": "WorkerDied", "why": why}
                    self.results.put((picture, failed))
                return
            self.results.put((picture, result))
