"""What engines are made with: TensorRT's module, and the GPUs they are for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from edgeswap_export.engine._architectures import check_compatibility
from edgeswap_export.engine._config import EngineConfig
from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_runtime.backends import BACKENDS
from edgeswap_runtime.backends.cuda import Gpu, require_gpu
from edgeswap_runtime.backends.tensorrt import MODULES, load_library
from edgeswap_runtime.bundle.engines import STANDARD
from edgeswap_runtime.errors import BackendMissing, DeviceNotGranted


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The TensorRT and the GPUs that engines are made with.

    Attributes:
        trt: TensorRT's module.
        architectures: GPUs that the engines are for, as the manifest names them: "SM86".
        gpu: this machine's GPU; None where engines are built ahead of time.
    """

    trt: Any
    architectures: tuple[str, ...]
    gpu: Gpu | None

    @property
    def gpus(self) -> tuple[str, ...]:
        """The GPUs as the command line names them, such as "sm86"."""
        return tuple(map(str.lower, self.architectures))


def machine_for(config: EngineConfig) -> Machine:
    """Load the library, and find the GPU where one is needed.

    Raises:
        BackendMissing: the library is not installed.
        DeviceNotGranted: there is no GPU, and TensorRT needs one.
        UnsupportedEngine: there is no GPU, and TensorRT for RTX needs one to refit.
    """
    trt = _library(config.backend)
    if config.backend == STANDARD:
        gpu = require_gpu(_cuda(), 0)
        level = config.builder.hardware_compatibility
        check_compatibility(level, STANDARD, gpu.architecture.lower())
        return Machine(trt=trt, architectures=(gpu.architecture,), gpu=gpu)
    if config.builder.refittable or config.refit is not None:
        what = "refits" if config.refit is not None else "makes refittable engines"
        try:
            gpu = require_gpu(_cuda(), 0)
        except DeviceNotGranted as error:
            raise UnsupportedEngine(
                f"TensorRT for RTX {what} only where it sees a GPU ({error}): do it on a machine "
                "with a GPU, or build the engine again, which takes seconds"
            ) from error
        if config.refit is not None:
            return Machine(trt=trt, architectures=(gpu.architecture,), gpu=gpu)
    return Machine(trt=trt, architectures=tuple(map(str.upper, config.gpus)), gpu=None)


def _library(backend: str) -> Any:
    name = MODULES[backend]
    try:
        return load_library(backend)
    except BackendMissing:
        raise
    except ModuleNotFoundError as error:
        raise BackendMissing(name, known=sorted(BACKENDS), install=BACKENDS[name][1]) from error


def _cuda() -> Any:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ModuleNotFoundError as error:
        raise BackendMissing(
            "cuda", known=sorted(BACKENDS), install="python -m pip install 'edgeswap[trt]'"
        ) from error
