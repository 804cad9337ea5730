"""One stage ahead of another: order, bounds, errors, ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from edgeswap_runtime.video.ahead import ahead


def test_order_and_bound() -> None:
    made: list[int] = []

    def numbers() -> Generator[int, None, None]:
        for at in range(50):
            made.append(at)
            yield at

    for taken, at in enumerate(ahead(numbers(), 3)):
        assert at == taken
        assert len(made) <= taken + 5  # waiting, in the hand of the thread, and this one
        if taken == 5:
            time.sleep(0.05)


def test_errors_come_after_the_items_before_them() -> None:
    def broken() -> Generator[int, None, None]:
        yield 1
        raise KeyError("two")

    items = ahead(broken(), 2)
    assert next(items) == 1
    with pytest.raises(KeyError, match="two"):
        next(items)


def test_a_reader_that_stops_ends_the_thread() -> None:
    closed = []

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    items = ahead(ahead(endless(), 1), 1)
    next(items)
    before = threading.active_count()
    items.close()
    assert closed and closed[0].startswith("edgeswap-ahead")
    assert threading.active_count() == before - 2
