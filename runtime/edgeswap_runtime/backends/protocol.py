"""Define the protocol that every backend meets, and the request it is opened with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.folder import Bundle

BufferT = TypeVar("BufferT")


class Backend(Protocol[BufferT]):
    """Runs named graphs on buffers that stay on its device between them.

    `BufferT` is the backend's own handle on a tensor; nobody else looks inside.

    Only one thread uses a backend at a time: a `Swapper` sees to that for itself. A backend that
    several swappers share needs an attribute `lock`, a `threading.RLock`, which each of them then
    holds while it uses the backend; ours have one.
    """

    def upload(self, array: NDArray[Any]) -> BufferT:
        """Copy an array to the device; later changes of the array do not show in the buffer."""

    def run(self, graph: str, inputs: Mapping[str, BufferT]) -> dict[str, BufferT]:
        """Run one graph to its end.

        The returned buffers belong to the backend: the next run of the same graph may overwrite
        them. Use them, or `download` them, before that.
        """

    def download(self, buffer: BufferT) -> NDArray[Any]:
        """Copy a buffer into a new array of the caller's own."""

    def close(self) -> None:
        """Give everything back; calling it again does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendRequest:
    """What a backend is opened with.

    Attributes:
        graphs: graph name -> ONNX file.
        device: what the backend calls its device, such as "cpu" or "cuda".
        threads: CPU threads per graph; the backend's own choice when None.
        precision: what to compute in, such as "bf16"; the graphs' own when None.
        bundle: where the graphs are from; what engines are found in.
    """

    graphs: Mapping[str, Path]
    device: str
    threads: int | None = None
    precision: str | None = None
    bundle: Bundle | None = None
