"""Give back the memory that opening graphs takes for a moment."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_SMALL, _LARGEST = 1 << 16, 1 << 25


@contextlib.contextmanager
def given_back() -> Iterator[None]:
    """Let every large block of a block of code go back to the system when it is freed.

    A library that reads a graph holds its weights several times for a moment. glibc keeps freed
    blocks of up to 32 MB for later, between others that stay, so that a process never becomes
    smaller again. Afterwards glibc works as it does of itself once a block of 32 MB was freed.
    Without glibc, or where the user has set it up (`MALLOC_*`, `GLIBC_TUNABLES`), nothing is
    changed.
    """
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_THRESHOLD, _SMALL)
    mallopt(_TRIM_THRESHOLD, _SMALL)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)


def _mallopt() -> ctypes._NamedFuncPointer | None:
    """Find glibc's function, unless the user has a say."""
    set_up = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if set_up or os.name != "posix":
        return None
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (there in glibc alone)
        return library.mallopt
    except (OSError, AttributeError):
        return None
