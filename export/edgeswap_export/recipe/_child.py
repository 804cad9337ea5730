"""One stage in a process of its own, which ends when the build that started it is gone.

Run as `python -m edgeswap_export.recipe._child COMMAND ...`, with a pipe on standard input whose
other end the build holds open and never writes to: it closes when the build ends, however it ends.
"""

from __future__ import annotations

import os
import sys
import threading

from edgeswap_runtime.cli import main


def watch_parent() -> None:
    """Wait for the end of standard input, then end at once; stages survive that at any moment."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=watch_parent, daemon=True).start()
    sys.exit(main(sys.argv[1:]))
