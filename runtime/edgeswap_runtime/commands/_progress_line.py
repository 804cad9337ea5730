"""Tell on stderr how far long work is: one line that changes in a terminal, else a few lines."""

from __future__ import annotations

import sys
import time

_REDRAW_EVERY_S = 0.5


class ProgressLine:
    """The line of one command; `due` first, so that words are made only when they are shown.

    Args:
        every_s: seconds between lines where there is no terminal.
    """

    def __init__(self, every_s: float) -> None:
        self._in_place = sys.stderr.isatty()
        self._every_s = _REDRAW_EVERY_S if self._in_place else every_s
        self._last = time.monotonic()
        self._drawn = False

    def due(self) -> bool:
        """Tell whether it is time for the next line."""
        now = time.monotonic()
        if now - self._last < self._every_s:
            return False
        self._last = now
        return True

    def show(self, words: str) -> None:
        """Write the line."""
        end = "" if self._in_place else "\n"
        print(f"\r\x1b[K{words}" if self._in_place else words, end=end, file=sys.stderr, flush=True)
        self._drawn = True

    def end(self) -> None:
        """Leave the line."""
        if self._in_place and self._drawn:
            print(file=sys.stderr)
