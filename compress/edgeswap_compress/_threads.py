"""How OpenMP's threads wait, on which torch's speed on a busy machine depends."""

from __future__ import annotations

import os
import sys


def let_waiting_threads_sleep() -> None:
    """Let threads that wait for one another sleep, where they would spin by default.

    A spinning thread keeps the processor from the very thread it waits for as soon as another
    program runs beside it: on two cores with one neighbor a small U-Net took 15 times as long.
    OpenMP reads its settings when torch is loaded, so this does nothing afterwards; and nothing
    where OMP_WAIT_POLICY is set already.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
