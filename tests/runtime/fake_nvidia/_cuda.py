"""The fake module `cuda.bindings.runtime`."""

from __future__ import annotations

import ctypes
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._names import NAMES, enumeration, parameters


@dataclass
class FakeProperties:
    """What CUDA says of the fake device."""

    name: bytes = b"Fake GPU\0\0"
    major: int = 8
    minor: int = 6
    totalGlobalMem: int = 8 << 30  # noqa: N815  CUDA's own name
    integrated: int = 0


@dataclass
class FakeStream:
    """Work that waits; `captured` while it is being recorded instead."""

    waiting: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    captured: list[tuple[str, Callable[[], None]]] | None = None


class FakeCuda:
    """The module `cuda.bindings.runtime`, on the CPU's memory.

    Args:
        label: "cuda 12.9" or "cuda 13"; other versions' names and argument counts are refused.
        properties: of its one device.

    Attributes:
        log: kind of each thing done, in order: "copy", "compute", "launch".
        held: address -> memory that was not freed yet.
    """

    cudaStreamNonBlocking = 1  # noqa: N815

    def __init__(self, label: str = "cuda 13", properties: FakeProperties | None = None) -> None:
        self._names = NAMES[label]["names"]
        self.cudaError_t = enumeration(
            label, "cudaError_t",
            ["cudaSuccess", "cudaErrorMemoryAllocation", "cudaErrorNoDevice"],
        )  # fmt: skip
        kinds = [f"cudaMemcpy{way}" for way in ("HostToDevice", "DeviceToHost", "DeviceToDevice")]
        self.cudaMemcpyKind = enumeration(label, "cudaMemcpyKind", kinds)
        self.cudaStreamCaptureMode = enumeration(
            label, "cudaStreamCaptureMode", ["cudaStreamCaptureModeThreadLocal"]
        )
        self.properties = properties or FakeProperties()
        self.devices = 1
        self.log: list[str] = []
        self.held: dict[int, Any] = {}
        self.streams: dict[int, FakeStream] = {}
        self.graphs: dict[int, Any] = {}
        self.fails: str | None = None

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if not re.match(r"cuda[A-Z]\w+$", name) or not inspect.ismethod(value):
            return value
        signatures = self._names[name]  # KeyError: there is no such function

        def call(*args: Any) -> Any:
            if signatures and len(parameters(signatures[0])) != len(args):
                raise TypeError(f"{name}: {len(args)} arguments do not fit {signatures[0]}")
            if self.fails == name:
                if name == "cudaStreamEndCapture":  # it ends, whatever became of the recording
                    value(*args)
                return (self.cudaError_t.cudaErrorMemoryAllocation, None)
            found = value(*args)
            return (self.cudaError_t.cudaSuccess, *(() if found is None else (found,)))

        return call

    def require(self, address: int, count: int) -> None:
        """Fail unless the memory lies within what was allocated."""
        for start, block in self.held.items():
            if start <= address and address + count <= start + len(block):
                return
        raise AssertionError(f"{count} bytes at {address} are not allocated on the device")

    def array(self, address: int, count: int) -> Any:
        """Device memory as numpy sees it."""
        self.require(address, count)
        return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(address))

    def enqueue(self, stream: int, kind: str, work: Callable[[], None]) -> None:
        """Put work on a stream, or into the recording that is being made of it."""
        held = self.streams[stream]
        queue = held.waiting if held.captured is None else held.captured
        queue.append((kind, work))

    def cudaGetDeviceCount(self) -> int:  # noqa: N802
        return self.devices

    def cudaDriverGetVersion(self) -> int:  # noqa: N802
        return 13000

    def cudaGetDeviceProperties(self, device: int) -> FakeProperties:  # noqa: N802
        return self.properties

    def cudaSetDevice(self, device: int) -> None:  # noqa: N802
        assert device == 0

    def cudaMalloc(self, size: int) -> int:  # noqa: N802
        assert size > 0
        block = (ctypes.c_uint8 * size)(*([0xAB] * min(size, 64)))
        self.held[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def cudaFree(self, address: int) -> None:  # noqa: N802
        del self.held[address]

    def cudaMemcpyAsync(self, to: int, source: int, count: int, kind: Any, stream: Any) -> None:  # noqa: N802
        if kind.name != "cudaMemcpyDeviceToHost":
            self.require(to, count)
        if kind.name != "cudaMemcpyHostToDevice":
            self.require(source, count)
        self.enqueue(int(stream), "copy", lambda: ctypes.memmove(to, source, count) and None)

    def cudaStreamCreateWithFlags(self, flags: int) -> int:  # noqa: N802
        self.streams[len(self.streams) + 77] = FakeStream()
        return len(self.streams) + 76

    def cudaStreamSynchronize(self, stream: int) -> None:  # noqa: N802
        held = self.streams[stream]
        assert held.captured is None, "a stream that records cannot be waited for"
        while held.waiting:
            kind, work = held.waiting.pop(0)
            self.log.append(kind)
            work()

    def cudaStreamDestroy(self, stream: int) -> None:  # noqa: N802
        assert not self.streams.pop(stream).waiting

    def cudaStreamBeginCapture(self, stream: int, mode: Any) -> None:  # noqa: N802
        self.streams[stream].captured = []

    def cudaStreamEndCapture(self, stream: int) -> int:  # noqa: N802
        recorded, self.streams[stream].captured = self.streams[stream].captured, None
        self.graphs[len(self.graphs) + 1000] = recorded
        return len(self.graphs) + 999

    def cudaGraphInstantiate(self, graph: int, flags: int) -> Any:  # noqa: N802
        return self.graphs[graph]

    def cudaGraphDestroy(self, graph: int) -> None:  # noqa: N802
        self.graphs[graph] = None

    def cudaGraphLaunch(self, executable: Any, stream: int) -> None:  # noqa: N802
        def launch() -> None:
            for _, work in executable:
                work()

        self.enqueue(stream, "launch", launch)

    def cudaGraphExecDestroy(self, executable: Any) -> None:  # noqa: N802
        pass
