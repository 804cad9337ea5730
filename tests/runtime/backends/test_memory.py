"""Opening graphs leaves no freed memory behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edgeswap_runtime.backends import memory

OPEN = """
import contextlib, sys
from edgeswap_runtime.backends import ort
if sys.argv[1] == "as it was":
    ort.given_back = contextlib.nullcontext
from edgeswap_runtime import Swapper
with Swapper.open(threads=1) as swapper:
    status = open("/proc/self/status").read()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
"""


def resident_mb(how: str, **variables: str) -> float:
    """Resident memory of a fresh process that opened the packaged bundle."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", OPEN, how], capture_output=True, text=True,
                          check=True, env=kept | variables)  # fmt: skip
    return int(done.stdout) / 1000


@pytest.mark.skipif(memory._mallopt() is None, reason="it is glibc that keeps freed memory")
def test_an_open_bundle_takes_less() -> None:
    before, after = resident_mb("as it was"), resident_mb("given back")
    assert after < before - 8


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_a_user_who_has_set_it_up_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert memory._mallopt() is None
    with memory.given_back():
        pass
