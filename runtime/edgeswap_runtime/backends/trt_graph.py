"""Load and run one TensorRT engine: its context, its buffers, its CUDA graph."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime.backends._graph_check import Port, Ports
from edgeswap_runtime.errors import EdgeswapFailure, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgeswap_runtime.backends._rtx_cache import RtxCache
    from edgeswap_runtime.backends.cuda import CudaGraph, CudaStream

    Place = tuple[int, tuple[int, ...], np.dtype[Any]]
    """Address on the device, shape, dtype."""


_LOGGER = logging.getLogger(__name__)


def trt_logger(trt: Any) -> Any:
    """Make a TensorRT logger that keeps errors and warnings; causes stand nowhere else.

    Returns:
        an `ILogger` with `errors` and `warnings`, both `list[str]`, and `drain()`, which empties
        them and returns the errors as one line.
    """

    class _Messages(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            line = " ".join(str(message).split())
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(line)
            elif severity == trt.ILogger.Severity.WARNING:
                self.warnings.append(line)

        def drain(self) -> str:
            said = "; ".join(dict.fromkeys(self.errors)) or "it gave no reason"
            self.errors.clear()
            self.warnings.clear()
            return said

    return _Messages()


def deserialize(runtime: Any, logger: Any, file: Path, name: str) -> Any:
    """Read an engine from its file.

    Args:
        runtime: TensorRT's, made where a driver is known to be.
        logger: from `trt_logger`.
        file: the engine's file.
        name: the graph's, for the message.

    Raises:
        EdgeswapFailure: TensorRT does not take it, with its own words.
    """
    engine = None if runtime is None else runtime.deserialize_cuda_engine(file.read_bytes())
    if engine is None:
        raise EdgeswapFailure(f"TensorRT does not take {file}, graph '{name}': {logger.drain()}")
    return engine


@dataclass(slots=True)
class _Shaped:
    """The buffers and the recorded CUDA graph for one set of input shapes."""

    outputs: dict[str, Place]
    runs: int = 0
    recorded: CudaGraph | None = None


class TrtGraph:
    """An engine with its execution context.

    Inputs are copied, on the device, into buffers of the graph's own, so that the addresses it
    works on never change; a recording of one run then stands for all runs of the same shapes.

    Args:
        name: for messages.
        engine: deserialized.
        trt: the module.
        stream: what it runs on, and takes memory from.
        scratch: address and size of the working memory, which other graphs may use in between.
        cache: of TensorRT for RTX, which then records CUDA graphs itself; None for TensorRT.

    Raises:
        EdgeswapFailure: no context can be made.
    """

    def __init__(
        self,
        name: str,
        engine: Any,
        trt: Any,
        stream: CudaStream,
        scratch: tuple[int, int],
        cache: RtxCache | None = None,
    ) -> None:
        self._name = name
        self._engine = engine
        self._stream = stream
        self._cache = cache
        self._recordable = cache is None
        self._context = _context(engine, trt, name, cache)
        self._context.set_device_memory(*scratch)
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        taken = trt.TensorIOMode.INPUT
        self._inputs = [n for n in names if engine.get_tensor_mode(n) == taken]
        self._outputs = [n for n in names if n not in self._inputs]
        self._dtypes = {n: np.dtype(trt.nptype(engine.get_tensor_dtype(n))) for n in names}
        self._own: dict[str, tuple[int, int]] = {}
        self._current: tuple[tuple[int, ...], ...] | None = None
        self._shaped: dict[tuple[tuple[int, ...], ...], _Shaped] = {}

    def ports(self) -> Ports:
        """Return the engine's inputs and outputs."""

        def port(name: str) -> Port:
            sizes = (int(size) for size in self._engine.get_tensor_shape(name))
            return Port(
                names=frozenset({name}),
                dtype=str(self._dtypes[name]),
                shape=tuple(None if size < 0 else size for size in sizes),
            )

        return Ports(inputs=tuple(map(port, self._inputs)), outputs=tuple(map(port, self._outputs)))

    def run(self, inputs: Mapping[str, Place]) -> dict[str, Place]:
        """Enqueue one run on the stream; the outputs are valid once the stream has done it."""
        self._require(inputs)
        shapes = tuple(inputs[name][1] for name in self._inputs)
        if shapes != self._current:
            self._set_shapes(inputs, shapes)
        shaped = self._shaped[shapes]
        for name in self._inputs:
            address, shape, dtype = inputs[name]
            self._stream.copy_within(self._own[name][0], address, _bytes(shape, dtype))
        if shaped.runs == 1 and self._recordable:
            # The first run let TensorRT do what it does lazily; from now on it only enqueues.
            shaped.recorded = self._record()
        if shaped.recorded is not None:
            shaped.recorded.launch()
        else:
            self._enqueue()
        shaped.runs += 1
        return dict(shaped.outputs)

    def close(self) -> None:
        """Drop recordings, context and engine; the memory is the stream's to free."""
        if self._cache is not None and any(shaped.runs for shaped in self._shaped.values()):
            self._cache.save()
        self._forget_recordings()
        self._shaped.clear()
        self._context = self._engine = None

    def _record(self) -> CudaGraph | None:
        """Record one run as a CUDA graph; None where the engine cannot be recorded.

        Such an engine is enqueued each time, which gives the same result more slowly.
        """
        try:
            with self._stream.capture() as recorded:
                self._enqueue()
        except EdgeswapFailure as error:
            _LOGGER.warning("graph '%s' runs without a CUDA graph: %s", self._name, error)
            self._recordable = False
            return None
        return recorded

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            raise EdgeswapFailure(f"TensorRT failed in graph '{self._name}'")

    def _require(self, inputs: Mapping[str, Place]) -> None:
        if set(inputs) != set(self._inputs):
            raise InvalidRequest(
                f"graph '{self._name}' takes {sorted(self._inputs)}, found {sorted(inputs)}"
            )
        for name, (_, _, dtype) in inputs.items():
            if dtype != self._dtypes[name]:
                raise InvalidRequest(
                    f"input '{name}' of graph '{self._name}' is {dtype}, expected "
                    f"{self._dtypes[name]}"
                )

    def _set_shapes(self, inputs: Mapping[str, Place], shapes: tuple[tuple[int, ...], ...]) -> None:
        """Tell the context the shapes, and where everything lies."""
        self._current = None
        for name, (_, shape, _) in inputs.items():
            self._check_shape(name, shape)
            if not self._context.set_input_shape(name, shape):
                raise EdgeswapFailure(f"TensorRT does not take {shape} for '{name}'")
        unknown = self._context.infer_shapes()
        if unknown:
            raise EdgeswapFailure(f"graph '{self._name}' leaves shapes open: {unknown}")
        for name, (_, shape, dtype) in inputs.items():
            self._reserve(name, _bytes(shape, dtype))
        if shapes not in self._shaped:
            self._shaped[shapes] = _Shaped(outputs=self._allocate_outputs())
        places = {name: self._own[name][0] for name in self._inputs}
        places |= {name: place[0] for name, place in self._shaped[shapes].outputs.items()}
        for name, address in places.items():
            if not self._context.set_tensor_address(name, address):
                raise EdgeswapFailure(f"TensorRT does not take a buffer for '{name}'")
        self._current = shapes

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Check a shape here, because TensorRT tells the reason only in its log."""
        stated = tuple(self._engine.get_tensor_shape(name))
        least, most = stated, stated
        if -1 in stated:
            least, _, most = (tuple(s) for s in self._engine.get_tensor_profile_shape(name, 0))
        fits = len(shape) == len(stated) and all(
            low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
        )
        if not fits:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise InvalidRequest(
                f"input '{name}' of graph '{self._name}' has shape {shape}, its engine takes "
                f"{wanted}: edgeswap engine --batch or --size makes one for other sizes"
            )

    def _reserve(self, name: str, count: int) -> None:
        """Reserve the graph's own buffer of an input, as large as needed."""
        held = self._own.get(name)
        if held is not None and held[1] >= count:
            return
        if held is not None:
            self._stream.give_back(*held)
            self._forget_recordings()  # they read the old address
        self._own[name] = (self._stream.take(count), count)

    def _allocate_outputs(self) -> dict[str, Place]:
        outputs = {}
        for name in self._outputs:
            shape = tuple(int(size) for size in self._context.get_tensor_shape(name))
            dtype = self._dtypes[name]
            outputs[name] = (self._stream.take(_bytes(shape, dtype)), shape, dtype)
        return outputs

    def _forget_recordings(self) -> None:
        for shaped in self._shaped.values():
            if shaped.recorded is not None:
                shaped.recorded.close()
            shaped.recorded, shaped.runs = None, 0


def _context(engine: Any, trt: Any, name: str, cache: RtxCache | None) -> Any:
    """Make an execution context that uses the working memory we give it."""
    ours = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    if cache is None:
        context = engine.create_execution_context(ours)
    else:
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(ours)
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        cache.attach(config)
        context = engine.create_execution_context(config)
    if context is None:
        raise EdgeswapFailure(f"TensorRT makes no execution context for graph '{name}'")
    return context


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
