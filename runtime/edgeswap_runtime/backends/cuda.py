"""Call CUDA through cuda-bindings: device, stream, memory, graphs; every status is checked."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime.errors import DeviceNotGranted, EdgeswapFailure, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_INSTALL = "it needs an NVIDIA GPU and its driver; edgeswap doctor tells what is there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What CUDA states about one device.

    Attributes:
        name: the maker's.
        architecture: such as "SM86".
        memory_bytes: all of it; on an integrated GPU it is the CPU's too.
        integrated: shares the CPU's memory, as on a Jetson.
    """

    name: str
    architecture: str
    memory_bytes: int
    integrated: bool


def device_index(device: str, backend: str) -> int:
    """Return the number of the device "cuda" (0) or "cuda:N".

    Raises:
        InvalidRequest: another device.
    """
    name, _, number = device.partition(":")
    if name != "cuda" or not (number == "" or number.isdecimal()):
        raise InvalidRequest(
            f"backend '{backend}' has no device '{device}': expected cuda or cuda:N, such as "
            "--device cuda"
        )
    return int(number or 0)


def require_gpu(cuda: Any, index: int) -> Gpu:
    """Check that a GPU is there, before TensorRT touches the driver.

    Without a driver TensorRT does not fail in an orderly way: its runtime is not made, and what
    is then called on it ends the process. CUDA itself answers cleanly.

    Args:
        cuda: the module `cuda.bindings.runtime`.
        index: of the device.

    Raises:
        DeviceNotGranted: no driver, no device, or none of that number.
    """
    status, count = cuda.cudaGetDeviceCount()
    device = "cuda" if index == 0 else f"cuda:{index}"
    if status != cuda.cudaError_t.cudaSuccess:
        raise DeviceNotGranted(
            device, granted=[f"no device ({status.name})"], by="CUDA", install=_INSTALL
        )
    if index >= count:
        offered = [f"cuda:{number}" for number in range(count)] or ["no device"]
        raise DeviceNotGranted(device, granted=offered, by="CUDA", install=_INSTALL)
    facts = _checked(cuda, "cudaGetDeviceProperties", index)
    name = facts.name.decode() if isinstance(facts.name, bytes) else str(facts.name)
    return Gpu(
        name=name.rstrip("\0"),
        architecture=f"SM{facts.major}{facts.minor}",
        memory_bytes=int(facts.totalGlobalMem),
        integrated=bool(facts.integrated),
    )


class CudaStream:
    """One stream on one device, and memory for it; everything is ordered on that stream.

    Args:
        cuda: the module `cuda.bindings.runtime`.
        index: of the device, which `require_gpu` has seen.
    """

    def __init__(self, cuda: Any, index: int) -> None:
        self._cuda = cuda
        self._index = index
        self._free: dict[int, list[int]] = {}
        self._all: list[int] = []
        self._closed = False
        self.select()
        self._stream = self._call("cudaStreamCreateWithFlags", cuda.cudaStreamNonBlocking)

    @property
    def handle(self) -> int:
        """The stream as TensorRT takes it."""
        return int(self._stream)

    def select(self) -> None:
        """Make the device the calling thread's current one.

        Raises:
            InvalidRequest: the stream is closed.
        """
        if self._closed:
            raise InvalidRequest("this backend is closed: open another")
        self._call("cudaSetDevice", self._index)

    def take(self, count: int) -> int:
        """Return the address of so many bytes of device memory, new or given back before."""
        waiting = self._free.get(count)
        if waiting:
            return waiting.pop()
        # CUDA gives no address for nothing.
        address = int(self._call("cudaMalloc", max(count, 1)))
        self._all.append(address)
        return address

    def give_back(self, address: int, count: int) -> None:
        """Keep memory for the next `take` of that size; later work on the stream may reuse it."""
        self._free.setdefault(count, []).append(address)

    def copy_in(self, address: int, array: NDArray[Any]) -> None:
        """Copy an array to the device; the array may change as soon as this returns."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        owned = np.ascontiguousarray(array)
        self._copy(address, owned.ctypes.data, owned.nbytes, kind)
        self.wait()

    def copy_out(self, array: NDArray[Any], address: int) -> None:
        """Copy from the device into a contiguous array, and wait for it."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(array.ctypes.data, address, array.nbytes, kind)
        self.wait()

    def copy_within(self, to: int, address: int, count: int) -> None:
        """Copy within the device, in the stream's order."""
        self._copy(to, address, count, self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice)

    def wait(self) -> None:
        """Wait until everything on the stream is done."""
        self._call("cudaStreamSynchronize", self._stream)

    @contextlib.contextmanager
    def capture(self) -> Iterator[CudaGraph]:
        """Record the work that is enqueued in the block, instead of running it."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        recorded = CudaGraph(self._cuda, self._stream)
        self._call("cudaStreamBeginCapture", self._stream, mode)
        try:
            yield recorded
        except BaseException:
            # A stream that is left capturing refuses everything else.
            status, graph = self._cuda.cudaStreamEndCapture(self._stream)
            if status == self._cuda.cudaError_t.cudaSuccess:
                self._cuda.cudaGraphDestroy(graph)
            raise
        recorded.instantiate(self._call("cudaStreamEndCapture", self._stream))

    def close(self) -> None:
        """Free the stream and all memory taken from it; calling it again does nothing."""
        if self._closed:
            return
        self.select()
        self._closed = True
        self.wait()
        for address in self._all:
            self._call("cudaFree", address)
        self._all.clear()
        self._free.clear()
        self._call("cudaStreamDestroy", self._stream)

    def _copy(self, to: int, address: int, count: int, kind: Any) -> None:
        if count:
            self._call("cudaMemcpyAsync", to, address, count, kind, self._stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        return _checked(self._cuda, name, *arguments)


class CudaGraph:
    """Work recorded once and launched as one; made by `CudaStream.capture`."""

    def __init__(self, cuda: Any, stream: Any) -> None:
        self._cuda = cuda
        self._stream = stream
        self._executable: Any = None

    def instantiate(self, graph: Any) -> None:
        """Turn the recording into an executable graph."""
        self._executable = _checked(self._cuda, "cudaGraphInstantiate", graph, 0)
        _checked(self._cuda, "cudaGraphDestroy", graph)

    def launch(self) -> None:
        """Enqueue the recorded work."""
        _checked(self._cuda, "cudaGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        """Free the graph; calling it again does nothing."""
        if self._executable is not None:
            _checked(self._cuda, "cudaGraphExecDestroy", self._executable)
            self._executable = None


def _checked(cuda: Any, name: str, *arguments: Any) -> Any:
    """Call a CUDA function, check its status, and return its other result.

    Raises:
        EdgeswapFailure: with CUDA's own name of the error.
    """
    status, *results = getattr(cuda, name)(*arguments)
    if status != cuda.cudaError_t.cudaSuccess:
        hint = ""
        if status.name == "cudaErrorMemoryAllocation":
            hint = ": the GPU's memory is full; end other programs on it, or use smaller engines"
        raise EdgeswapFailure(f"CUDA failed in {name} with {status.name}{hint}")
    return results[0] if results else None
