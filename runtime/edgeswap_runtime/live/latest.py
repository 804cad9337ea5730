"""A place for one item: a newer one takes the place of one that nobody has taken yet."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Latest(Generic[Item]):
    """Hands the newest item from one thread to another; what is too late is dropped, not queued.

    So that the time from camera to screen is bounded by the time of one swap, however many frames
    the camera gives.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many items were replaced before they were taken."""
        return self._dropped

    def put(self, item: Item) -> None:
        """Offer an item, in place of the last one if that still waits."""
        with self._changed:
            self._dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def close(self) -> None:
        """Say that no further item comes; what waits may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> Item | None:
        """Wait for an item and take it.

        Args:
            timeout_s: how long to wait; without end when None.

        Returns:
            the item; None after `close`, or where none came in time.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return item
