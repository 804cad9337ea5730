"""Count the layers of a graph by the type of their weights."""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import TensorProto

from edgeswap_export.graphs.values import producers

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_PASSED = ("DequantizeLinear", "Cast", "Transpose", "Reshape", "Identity")
"""Operators that may stand between a stored weight and its layer."""


def layer_types(model: onnx.ModelProto) -> dict[str, int]:
    """Return type of the weights, such as "float16" or "int8" -> number of layers.

    A product of two activations, as in attention, has no weights and is not counted.
    """
    stored: dict[str, int] = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    makers = producers(model)

    def kind(name: str) -> int | None:
        while name not in stored:
            node = makers.get(name)
            if node is None or node.op_type not in _PASSED:
                return None
            name = node.input[0]
        return stored[name]

    counts: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in LAYERS:
            found = [k for k in (kind(name) for name in node.input[:2]) if k is not None]
            if found:
                counts[_name(found[-1])] += 1
    return dict(sorted(counts.items()))


def _name(element_type: int) -> str:
    name: str = TensorProto.DataType.Name(element_type)
    return {"FLOAT": "float32"}.get(name, name.lower())
