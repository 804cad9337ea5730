"""The place for one item: newest first, bounded, and an end."""

from __future__ import annotations

import threading
import time

from edgeswap_runtime.live.latest import Latest


def test_a_newer_item_takes_the_place_of_the_older() -> None:
    latest = Latest[int]()
    for item in range(5):
        latest.put(item)
    assert latest.take() == 4 and latest.dropped == 4
    latest.put(5)
    latest.close()
    assert latest.take() == 5 and latest.take() is None and latest.dropped == 4


def test_taking_waits_and_times_out() -> None:
    latest = Latest[str]()
    assert latest.take(0.01) is None
    threading.Timer(0.05, latest.put, ("late",)).start()
    assert latest.take(10) == "late"


def test_a_slow_taker_sees_only_fresh_items() -> None:
    """However fast items come, what is taken is never older than one pause."""
    latest, ages = Latest[float](), []

    def fill() -> None:
        for _ in range(60):
            latest.put(time.monotonic())
            time.sleep(0.005)
        latest.close()

    thread = threading.Thread(target=fill)
    thread.start()
    while (born := latest.take()) is not None:
        ages.append(time.monotonic() - born)
        time.sleep(0.03)
    thread.join()
    assert len(ages) + latest.dropped == 60 and latest.dropped >= 20
    assert sorted(ages)[len(ages) // 2] < 0.03
