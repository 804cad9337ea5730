"""Run graphs that are plain Python functions, for tests without an inference library."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    FakeGraph = Callable[[dict[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]


class FakeBuffer:
    """A tensor of the fake device: only its backend may look inside."""

    __slots__ = ("array",)

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array


class FakeBackend:
    """Runs graphs that are Python callables on numpy arrays.

    Like a real backend it reuses its output buffers: each run of a graph writes into the buffers
    of the run before when shapes agree, so that code which holds on to them too long fails here.

    Args:
        graphs: graph name -> function from {input name: array} to {output name: array}.

    Attributes:
        lock: held by a `Swapper` while it uses the backend.
        calls: the name of each graph run so far, in order.
    """

    def __init__(self, graphs: Mapping[str, FakeGraph]) -> None:
        self.lock = threading.RLock()
        self.calls: list[str] = []
        self._graphs = dict(graphs)
        self._outputs: dict[tuple[str, str], FakeBuffer] = {}

    def upload(self, array: NDArray[Any]) -> FakeBuffer:
        """Copy an array into a new buffer."""
        return FakeBuffer(np.array(array))

    def run(self, graph: str, inputs: Mapping[str, FakeBuffer]) -> dict[str, FakeBuffer]:
        """Call the graph's function; see the class on how long the result holds.

        Raises:
            InvalidRequest: there is no graph of that name, or the backend is closed.
        """
        if graph not in self._graphs:
            raise InvalidRequest(
                f"the fake backend has no graph '{graph}': expected one of {sorted(self._graphs)}"
            )
        self.calls.append(graph)
        results = self._graphs[graph]({name: buffer.array for name, buffer in inputs.items()})
        return {name: self._store(graph, name, array) for name, array in results.items()}

    def download(self, buffer: FakeBuffer) -> NDArray[Any]:
        """Copy a buffer into a new array."""
        return np.array(buffer.array)

    def close(self) -> None:
        """Forget the graphs; later runs raise."""
        self._graphs.clear()
        self._outputs.clear()

    def _store(self, graph: str, name: str, array: NDArray[Any]) -> FakeBuffer:
        held = self._outputs.get((graph, name))
        if held is None or held.array.shape != array.shape or held.array.dtype != array.dtype:
            held = self._outputs[graph, name] = FakeBuffer(np.array(array))
        else:
            np.copyto(held.array, array)
        return held
