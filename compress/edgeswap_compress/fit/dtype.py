"""Choose the dtype that torch computes in: what is fast on this machine, unless one is named."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.observe.dtype_probe import SHORTER, WORTH_IT, Probed, probe
from edgeswap_runtime.files import write_json
from edgeswap_runtime.strict_json import read_json

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = [
    "AUTO",
    "DTYPES",
    "Probed",
    "check_dtype",
    "dtype_line",
    "note_dtype",
    "probe",
    "resolve_dtype",
]

DTYPES = ("auto", "float32", *SHORTER)
"""What ``--dtype`` takes."""

AUTO = "auto"
"""Takes the fastest of the others, as ``probe`` finds it; float16 on a graphics card alone."""

_log = logging.getLogger(__name__)


def check_dtype(name: str) -> None:
    """Refuse a name that is not one of ``DTYPES``.

    Raises:
        InvalidSettings: it is not.
    """
    if name not in DTYPES:
        raise InvalidSettings(f"dtype {name!r}: expected one of {', '.join(DTYPES)}")


def resolve_dtype(
    name: str, device: str | torch.device = "cpu", *, training: bool = True
) -> torch.dtype:
    """Turn the name of a dtype into torch's.

    Args:
        name: one of ``DTYPES``; "auto" is decided by ``probe``.
        device: that will compute.
        training: whether there will be backward passes, or forward passes alone.

    Raises:
        InvalidSettings: there is no such name.
    """
    import torch

    check_dtype(name)
    if name == AUTO:
        name = probe(device).faster(training=training)
    found: torch.dtype = getattr(torch, name)
    return found


def dtype_line(name: str, device: str | torch.device = "cpu", *, training: bool = True) -> str:
    """Say in one line which dtype is taken and why, for a command to print."""
    taken = str(resolve_dtype(name, device, training=training)).removeprefix("torch.")
    if name != AUTO:
        return f"dtype: {taken} (as asked)"
    found = probe(device)
    other = "bfloat16" if taken == "float32" else "float32"
    slowdown = found.slowdown(training=training, dtype=other if taken == "float32" else taken)
    times = slowdown if taken == "float32" else 1 / slowdown
    if times <= 1 / WORTH_IT:
        return f"dtype: {taken} ({other} is no faster here)"
    return f"dtype: {taken} ({other} is {times:.1f}x slower here)"


def note_dtype(run: Path, taken: str) -> str:
    """Write into a run's folder which dtype it goes on in; it may be another than before.

    A run that is continued on another machine takes what is fast there: master weights are float32
    always, so nothing but the arithmetic changes. The log says so.

    Args:
        run: an existing folder.
        taken: "float32" or "bfloat16".

    Returns:
        all that the run was computed in, in order, for a history: "bfloat16, float32".
    """
    file = run / "dtype.json"
    before: list[str] = read_json(file) if file.exists() else []
    if before and before[-1] != taken:
        _log.warning("%s was computed in %s so far and goes on in %s", run, before[-1], taken)
    if not before or before[-1] != taken:
        before.append(taken)
        write_json(file, before)
    return ", ".join(before)
