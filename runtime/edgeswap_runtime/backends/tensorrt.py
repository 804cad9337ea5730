"""Run a bundle's engines with TensorRT or TensorRT for RTX, on one NVIDIA GPU."""

from __future__ import annotations

import importlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime.backends._graph_check import Ports, require_fit
from edgeswap_runtime.backends._rtx_cache import RtxCache
from edgeswap_runtime.backends.cuda import CudaStream, device_index, require_gpu
from edgeswap_runtime.backends.trt_graph import TrtGraph, deserialize, trt_logger
from edgeswap_runtime.bundle.engines import RTX, STANDARD, EngineTarget, find_engine
from edgeswap_runtime.errors import BackendMissing, InvalidRequest, PrecisionNotGranted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_runtime.backends.cuda import Gpu
    from edgeswap_runtime.backends.protocol import BackendRequest

MODULES = {STANDARD: "tensorrt", RTX: "tensorrt_rtx"}
"""Backend -> the module of its library, which has the same name."""


def open_tensorrt(request: BackendRequest) -> TensorRtBackend:
    """Open the TensorRT backend; the function that the table of backends names."""
    return _open(request, STANDARD)


def open_tensorrt_rtx(request: BackendRequest) -> TensorRtBackend:
    """Open the TensorRT for RTX backend; the function that the table of backends names."""
    return _open(request, RTX)


def load_library(backend: str) -> Any:
    """Import the TensorRT library of a backend.

    Raises:
        ModuleNotFoundError: it is not installed.
        BackendMissing: its Python part is, but not its libraries.
    """
    name = MODULES[backend]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise
    except (ImportError, OSError) as error:
        words = " ".join(str(error).split())
        install = f"its libraries do not load ({words}); install the whole of it again"
        raise BackendMissing(name, known=sorted(MODULES.values()), install=install) from error


def engine_target(backend: str, trt: Any, gpu: Gpu) -> EngineTarget:
    """Return what an engine must be built for to run on this GPU with this library."""
    return EngineTarget(backend=backend, version=trt.__version__, architecture=gpu.architecture)


def _open(request: BackendRequest, backend: str) -> TensorRtBackend:
    """Check the request, the libraries and the GPU, then load the engines."""
    name = MODULES[backend]
    index = device_index(request.device, name)
    if request.precision is not None:
        raise PrecisionNotGranted(
            request.precision,
            granted=["the engines' own"],
            by=name,
            hint="leave it out; an engine is as precise as the graph it was built from",
        )
    if request.threads is not None:
        raise InvalidRequest(f"backend '{name}' takes no threads: leave --threads out")
    if request.bundle is None:
        raise InvalidRequest(f"backend '{name}' runs a bundle's engines: open it with a bundle")
    cuda = importlib.import_module("cuda.bindings.runtime")
    trt = load_library(backend)
    gpu = require_gpu(cuda, index)
    target = engine_target(backend, trt, gpu)
    engines = {graph: find_engine(request.bundle, graph, target) for graph in request.graphs}
    running = TensorRtBackend(engines, trt=trt, cuda=cuda, index=index, gpu=gpu)
    try:
        require_fit(request.bundle, running.ports())
    except BaseException:
        running.close()
        raise
    return running


class DeviceBuffer:
    """A tensor in the GPU's memory: address, shape, dtype."""

    __slots__ = ("__weakref__", "address", "dtype", "shape")

    def __init__(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.address = address
        self.shape = shape
        self.dtype = dtype


class TensorRtBackend:
    """Holds one engine and one execution context per graph, on one CUDA stream.

    Tensors stay on the GPU between graphs. The contexts run one after the other, so they share one
    block of working memory, as large as the largest that an engine needs. The second run of a
    graph with the same shapes is recorded as a CUDA graph, which later runs launch; TensorRT for
    RTX does so by itself, and keeps the kernels it compiles for this GPU in the user's cache.
    **Output buffers are allocated once per set of input shapes and reused: a graph's next run
    overwrites what its last run returned.**

    Args:
        files: graph name -> (key, file) of its engine, which fits this GPU and library.
        trt: the module `tensorrt` or `tensorrt_rtx`.
        cuda: the module `cuda.bindings.runtime`.
        index: of the device.
        gpu: what CUDA says of it.

    Raises:
        EdgeswapFailure: TensorRT refuses an engine, or CUDA fails, with their own words.
    """

    def __init__(
        self,
        files: Mapping[str, tuple[str, Path]],
        *,
        trt: Any,
        cuda: Any,
        index: int,
        gpu: Gpu,
    ) -> None:
        self.gpu = gpu
        self.lock = threading.RLock()
        self._trt = trt
        self._stream = CudaStream(cuda, index)
        self._logger = trt_logger(trt)
        self._graphs: dict[str, TrtGraph] = {}
        try:
            self._runtime = trt.Runtime(self._logger)
            engines = {
                name: deserialize(self._runtime, self._logger, file, name)
                for name, (_, file) in files.items()
            }
            needed = max((engine.device_memory_size_v2 for engine in engines.values()), default=0)
            scratch = (self._stream.take(needed), needed)
            for name, engine in engines.items():
                cache = (
                    RtxCache(files[name][0], gpu, cuda) if trt.__name__ == MODULES[RTX] else None
                )
                self._graphs[name] = TrtGraph(name, engine, trt, self._stream, scratch, cache)
        except BaseException:
            self.close()
            raise

    def ports(self) -> dict[str, Ports]:
        """Return every graph's inputs and outputs, as its engine states them."""
        return {name: graph.ports() for name, graph in self._graphs.items()}

    def upload(self, array: NDArray[Any]) -> DeviceBuffer:
        """Copy an array to the GPU; its memory is reused once nobody holds the buffer."""
        self._stream.select()
        buffer = DeviceBuffer(self._stream.take(array.nbytes), array.shape, array.dtype)
        weakref.finalize(buffer, self._stream.give_back, buffer.address, array.nbytes)
        self._stream.copy_in(buffer.address, array)
        return buffer

    def run(self, graph: str, inputs: Mapping[str, DeviceBuffer]) -> dict[str, DeviceBuffer]:
        """Run a graph to its end; see the class on how long the result holds.

        Raises:
            InvalidRequest: no such graph, the backend is closed, or an input's name, dtype or shape
                is not one the engine was built for.
            EdgeswapFailure: TensorRT or CUDA failed, with their own words.
        """
        if graph not in self._graphs:
            raise InvalidRequest(
                f"there is no graph '{graph}': expected one of {sorted(self._graphs)}"
            )
        self._stream.select()
        given = {name: (b.address, b.shape, b.dtype) for name, b in inputs.items()}
        outputs = self._graphs[graph].run(given)
        self._stream.wait()
        return {name: DeviceBuffer(*where) for name, where in outputs.items()}

    def download(self, buffer: DeviceBuffer) -> NDArray[Any]:
        """Copy a buffer into a new array."""
        self._stream.select()
        array = np.empty(buffer.shape, buffer.dtype)
        self._stream.copy_out(array, buffer.address)
        return array

    def close(self) -> None:
        """Drop contexts, engines and all memory on the GPU; calling it again does nothing."""
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()
        self._stream.close()
