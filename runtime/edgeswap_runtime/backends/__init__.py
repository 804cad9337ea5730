"""Backends: what runs a bundle's graphs. One table, one protocol."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

from edgeswap_runtime._errors import BackendMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edgeswap_runtime.backends._protocol import Backend

BACKENDS: dict[str, tuple[str, str]] = {
    "ort": (
        "edgeswap_runtime.backends._ort:open_ort",
        "python -m pip install 'edgeswap[ort]' (onnxruntime-gpu instead, for an NVIDIA GPU)",
    ),
}
"""Name -> ("module:function", how to install what it needs).

The function is called as `function(graphs, device=, threads=)` with graph name -> ONNX file.
"""


def open_backend(
    name: str, graphs: Mapping[str, Path], *, device: str, threads: int | None
) -> Backend[Any]:
    """Open a backend by name.

    Args:
        name: a key of `BACKENDS`.
        graphs: graph name -> ONNX file.
        device: what the backend calls its device, such as "cpu" or "cuda".
        threads: CPU threads per graph; the backend's own choice when None.

    Raises:
        BackendMissing: unknown, or its package is not installed.
        DeviceNotGranted: it cannot give that device.
    """
    if name not in BACKENDS:
        raise BackendMissing(name, known=sorted(BACKENDS))
    target, install = BACKENDS[name]
    module, _, function = target.partition(":")
    try:
        opener = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("edgeswap"):
            raise
        raise BackendMissing(name, known=sorted(BACKENDS), install=install) from error
    return cast("Callable[..., Backend[Any]]", opener)(graphs, device=device, threads=threads)
