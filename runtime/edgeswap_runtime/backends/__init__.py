"""Open a backend, the library that runs a bundle's graphs, by its name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

from edgeswap_runtime.errors import BackendMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeswap_runtime.backends.protocol import Backend, BackendRequest

BACKENDS: dict[str, tuple[str, str]] = {
    "ort": (
        "edgeswap_runtime.backends.ort:open_ort",
        "python -m pip install 'edgeswap[ort]' (onnxruntime-gpu instead, for an NVIDIA GPU)",
    ),
    "openvino": (
        "edgeswap_runtime.backends.openvino:open_openvino",
        "python -m pip install 'edgeswap[openvino]'",
    ),
    "tensorrt": (
        "edgeswap_runtime.backends.tensorrt:open_tensorrt",
        "python -m pip install 'edgeswap[trt]'; TensorRT itself comes with JetPack or from NVIDIA",
    ),
    "tensorrt_rtx": (
        "edgeswap_runtime.backends.tensorrt:open_tensorrt_rtx",
        "python -m pip install 'edgeswap[rtx]'",
    ),
}
"""Name -> ("module:function", how to install what it needs).

The function is called with one `BackendRequest`.
"""


def open_backend(name: str, request: BackendRequest) -> Backend[Any]:
    """Open a backend by name.

    Args:
        name: a key of `BACKENDS`.
        request: which graphs, on which device, and how.

    Raises:
        BackendMissing: unknown, or its package is not installed.
        DeviceNotGranted: it cannot give that device.
        PrecisionNotGranted: it does not compute in that precision.
        EngineMissing: it needs an engine, and the bundle holds none that fits.
        InvalidRequest: the request is not for this backend.
    """
    if name not in BACKENDS:
        raise BackendMissing(name, known=sorted(BACKENDS))
    target, install = BACKENDS[name]
    module, _, function = target.partition(":")
    try:
        opener = getattr(importlib.import_module(module), function)
        return cast("Callable[[BackendRequest], Backend[Any]]", opener)(request)
    except ModuleNotFoundError as error:
        if isinstance(error, BackendMissing) or (error.name or "").startswith("edgeswap"):
            raise
        raise BackendMissing(name, known=sorted(BACKENDS), install=install) from error
