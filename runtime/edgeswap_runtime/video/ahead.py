"""Run one stage of a pipeline ahead of the next, in a thread, by a bounded number of items."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import Full, Queue
from threading import Event
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator

Item = TypeVar("Item")
_END = object()
_LOOK_UP_S = 0.1


def ahead(items: Generator[Item, None, None], most: int) -> Generator[Item, None, None]:
    """Let a generator run in a thread of its own, at most so many items ahead.

    Args:
        items: the generator; it is closed in its thread when the reader stops early.
        most: items that may wait, from 1.

    Yields:
        its items, in order.

    Raises:
        BaseException: what the generator raises, after the items before it.
    """
    waiting: Queue[object] = Queue(most)
    stopped = Event()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=_LOOK_UP_S)
            except Full:
                continue
            return True
        return False

    def fill() -> None:
        try:
            for item in items:
                if not put(item):
                    break
        finally:
            items.close()
            put(_END)

    with ThreadPoolExecutor(1, thread_name_prefix="edgeswap-ahead") as pool:
        filling = pool.submit(fill)
        try:
            while (item := waiting.get()) is not _END:
                yield cast("Item", item)
            filling.result()
        finally:
            stopped.set()
