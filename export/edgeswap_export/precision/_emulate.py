"""Emulate half precision on any processor: float32 sums, every result rounded."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export.graphs.values import value_types

_FLOAT = TensorProto.FLOAT


def emulated(model: onnx.ModelProto, low: int, opset: int | None = None) -> onnx.ModelProto:
    """Make a float32 graph that rounds and overflows where a half-precision graph would.

    ONNX Runtime's CPU kernels compute float16 graphs in float32 without rounding in between, and
    have few bfloat16 operators. In this graph each operator's inputs and results are numbers of
    the low type, as in the file; only the sums inside an operator are float32.

    Args:
        model: from `lower`.
        low: the ONNX element type to emulate.
        opset: of the graph; None for the model's.

    Returns:
        a graph with the same inputs and outputs, for a session without graph optimization, which
        might remove the rounding.
    """
    types = value_types(model)
    new = onnx.ModelProto()
    new.CopyFrom(model)
    for entry in new.opset_import:
        if entry.domain == "" and opset is not None:
            entry.version = opset
    del new.graph.node[:]
    for tensor in new.graph.initializer:
        _widen(tensor, low)
    for original in model.graph.node:
        node = new.graph.node.add()
        node.CopyFrom(original)
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == low:
                attribute.i = _FLOAT
            elif attribute.type == onnx.AttributeProto.TENSOR:
                _widen(attribute.t, low)
        for index, name in enumerate(original.output):
            if types.get(name) == low:
                node.output[index] = f"{name}/exact"
                new.graph.node.extend(_rounding(name, low))
    return new


def _rounding(name: str, low: int) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [f"{name}/exact"], [f"{name}/low"], name=f"{name}/round", to=low),
        helper.make_node("Cast", [f"{name}/low"], [name], name=f"{name}/widen", to=_FLOAT),
    ]


def _widen(tensor: TensorProto, low: int) -> None:
    if tensor.data_type == low:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
