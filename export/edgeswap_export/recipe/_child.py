"""Run one stage in its own process, which ends when the build that started it ends.

Started as `python -m edgeswap_export.recipe._child COMMAND ...`. Its standard input is a pipe that
the build never writes to; the system closes it when the build ends, in whatever way.
"""

from __future__ import annotations

import os
import sys
import threading

from edgeswap_runtime.cli import main


def watch_parent() -> None:
    """Wait until standard input is closed, then end this process at once."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=watch_parent, daemon=True).start()
    sys.exit(main(sys.argv[1:]))
