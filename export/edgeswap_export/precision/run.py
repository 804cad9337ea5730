"""Run a graph that is in memory, and read the values inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.numpy_helper import to_array

from edgeswap_export.graphs.values import fits, skeleton, value_types, weight_bytes
from edgeswap_runtime.backends.ort import LARGE_BYTES, compute_int8_exactly

Feed = dict[str, NDArray[np.float32]]
"""Input name -> array."""

CHUNK_BYTES = 1 << 28
"""Bytes of inner values that are read in one run; a large graph takes several runs."""

LEVELS = {
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


def open_session(
    model: onnx.ModelProto | str, level: str = "all", lean: bool = False
) -> ort.InferenceSession:
    """Open a session on one CPU thread, so that every run sums in the same order.

    Args:
        model: in memory, of any size, or the path of a file (with its external data beside it).
        level: graph optimization, a key of LEVELS. float8 works with "basic" at most; "none" keeps
            every rounding of an emulated graph.
        lean: save memory rather than time: make no second copy of the weights for the kernels.
            A model in memory that is too large for one file is always opened so.
    """
    if isinstance(model, str):
        options = _options(level, lean)
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    if not fits(model):
        return open_session_of(skeleton(model), model, level)
    data = model.SerializeToString()
    options = _options(level, lean, len(data))
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _options(level: str, lean: bool, size: int = 0) -> ort.SessionOptions:
    """Make the options of a session for a graph with so many bytes of weights."""
    options = ort.SessionOptions()
    # As in the runtime: large graphs give their memory back.
    options.enable_cpu_mem_arena = not lean and size <= LARGE_BYTES
    options.graph_optimization_level = LEVELS[level]
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # In the graph's own order: the default runs readers that lead to nothing but an output last,
    # so that every value they read is kept until then.
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    # A thread that waits must not keep a core busy.
    for threads in ("intra", "inter"):
        options.add_session_config_entry(f"session.{threads}_op.allow_spinning", "0")
    compute_int8_exactly(options)
    options.log_severity_level = 4
    if lean:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def open_session_of(
    bare: onnx.ModelProto, weights: onnx.ModelProto, level: str = "all"
) -> ort.InferenceSession:
    """Open a session of a graph whose weights are in another model, which lends them one by one.

    Args:
        bare: made of `skeleton`, with any nodes and outputs.
        weights: has every initializer that `bare` lacks the numbers of.
        level: as `open_session`.
    """
    options = _options(level, lean=not fits(weights), size=weight_bytes(weights))
    apart = {t.name for t in bare.graph.initializer if t.data_location == TensorProto.EXTERNAL}
    lent = [tensor for tensor in weights.graph.initializer if tensor.name in apart]
    arrays = [to_array(tensor) for tensor in lent]
    values = [
        ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, tensor.data_type)
        for array, tensor in zip(arrays, lent, strict=True)
    ]
    options.add_external_initializers([tensor.name for tensor in lent], values)
    data = bare.SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    session.lent = (arrays, values)  # the session reads their memory for as long as it lives
    return session


def answers(
    model: onnx.ModelProto, feeds: Iterable[Feed], level: str = "all"
) -> list[dict[str, NDArray[np.float32]]]:
    """Run a model on each feed; return its outputs, by name."""
    session = open_session(model, level)
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, dict(feed)), strict=True)) for feed in feeds]


def look_inside(
    model: onnx.ModelProto,
    feeds: list[Feed],
    visit: Callable[[str, NDArray[np.float32]], None],
    level: str = "none",
) -> None:
    """Call `visit(name, value)` with all float32 values of the graph, for every feed.

    Args:
        model: in memory, of any size.
        feeds: its inputs.
        visit: takes the name and the array of one value; it must not keep the array.
        level: graph optimization, a key of LEVELS.
    """
    types = value_types(model)
    inputs = {value.name for value in model.graph.input}
    computed = [name for node in model.graph.node for name in node.output if name]
    for feed in feeds:
        for name in feed:
            visit(name, feed[name])
    names = [n for n in computed if types[n] == TensorProto.FLOAT and n not in inputs]
    for chunk in _chunks(model, names):
        session = open_session(_exposing(model, chunk), level)
        for feed in feeds:
            for name, value in zip(chunk, session.run(chunk, dict(feed)), strict=True):
                visit(name, value)


def _exposing(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Copy the model with other outputs."""
    new = onnx.ModelProto()
    new.CopyFrom(model)
    del new.graph.output[:]
    new.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    return new


def _chunks(model: onnx.ModelProto, names: list[str]) -> list[list[str]]:
    sizes = _sizes(model)
    chunks: list[list[str]] = []
    room = 0
    for name in names:
        size = sizes.get(name, 0)
        if not chunks or size > room:
            chunks.append([])
            room = CHUNK_BYTES
        chunks[-1].append(name)
        room -= size
    return chunks


def _sizes(model: onnx.ModelProto) -> Mapping[str, int]:
    inferred = onnx.shape_inference.infer_shapes(skeleton(model)).graph.value_info
    return {
        info.name: 4 * int(np.prod([max(d.dim_value, 1) for d in info.type.tensor_type.shape.dim]))
        for info in inferred
    }


class MemoryBackend:
    """A backend for graphs that are in memory, on one CPU thread.

    Args:
        graphs: name of a graph -> its model and graph optimization, a key of LEVELS.
    """

    def __init__(self, graphs: Mapping[str, tuple[onnx.ModelProto, str]]) -> None:
        self._sessions = {
            name: open_session(model, level) for name, (model, level) in graphs.items()
        }

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """Copy the array."""
        return np.array(array, order="C")

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one graph; unlike other backends this one returns new arrays."""
        session = self._sessions[graph]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    def download(self, buffer: NDArray[Any]) -> NDArray[Any]:
        """Copy the array."""
        return np.array(buffer)

    def close(self) -> None:
        """Drop the sessions."""
        self._sessions.clear()
