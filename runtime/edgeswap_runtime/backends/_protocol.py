"""What a backend must be able to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

BufferT = TypeVar("BufferT")


class Backend(Protocol[BufferT]):
    """Runs named graphs on buffers that stay on its device between them.

    `BufferT` is the backend's own handle on a tensor; nobody else looks inside.
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
