"""Find out about a graph's values without running it: types, producers, consumers."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import TensorProto

LARGE_BYTES = 1 << 10
"""Initializers above this are weights; smaller ones may be shapes, which inference must read."""

MAX_BYTES = 2**30
"""Largest ONNX file with its weights inside: half of protobuf's limit, because writing one takes
memory for several copies."""


def fits(model: onnx.ModelProto) -> bool:
    """Whether the model fits into one file together with its weights."""
    return weight_bytes(model) <= MAX_BYTES


def weight_bytes(model: onnx.ModelProto) -> int:
    """Return the size of the weights that are in memory."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model without its weights' numbers, so that it is small enough for protobuf.

    Each large initializer keeps name, type and shape, and names a file that is never read.
    """
    bare = onnx.ModelProto()
    bare.ir_version = model.ir_version
    bare.opset_import.extend(model.opset_import)
    graph = model.graph
    bare.graph.name = graph.name
    for field in ("node", "input", "output", "value_info"):
        getattr(bare.graph, field).extend(getattr(graph, field))
    for tensor in graph.initializer:
        if tensor.ByteSize() <= LARGE_BYTES:
            bare.graph.initializer.append(tensor)
            continue
        stub = bare.graph.initializer.add()
        stub.name, stub.data_type = tensor.name, tensor.data_type
        stub.dims.extend(tensor.dims)
        stub.data_location = TensorProto.EXTERNAL
        stub.external_data.add(key="location", value="nowhere")
    return bare


def value_types(model: onnx.ModelProto) -> dict[str, int]:
    """Return name -> ONNX element type of every value, initializers included."""
    inferred = onnx.shape_inference.infer_shapes(skeleton(model), strict_mode=True).graph
    types = {tensor.name: tensor.data_type for tensor in inferred.initializer}
    for info in (*inferred.input, *inferred.output, *inferred.value_info):
        types[info.name] = info.type.tensor_type.elem_type
    return types


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return name of a value -> the node that computes it."""
    return {output: node for node in model.graph.node for output in node.output if output}


def consumers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return name of a value -> the nodes that read it, in the graph's order."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            readers.setdefault(name, []).append(node)
    return readers


def upstream(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Return the names of the given nodes and of all nodes that feed them."""
    made_by, found, waiting = producers(model), set(), list(nodes)
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            waiting += [made_by[name] for name in node.input if name in made_by]
    return found
