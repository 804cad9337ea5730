"""Store INT8 weights as UINT8, for ONNX Runtime on every processor."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

_MIDDLE = 128


def store_weights_unsigned(model: onnx.ModelProto) -> None:
    """Add 128 to all INT8 weights and to their zero points, so that they mean the same numbers.

    On x86 processors without VNNI or AMX, ONNX Runtime multiplies UINT8 by INT8 with sums that
    saturate, and UINT8 by UINT8 exactly. A session can be told to be exact
    (`session.x64quantprecision`), but an application that merely opens the file does not tell it,
    and ONNX Runtime 1.32 cannot load a graph then in which two layers share a weight.

    TensorRT takes INT8 alone: build its engines from a bundle's graphs.

    Args:
        model: changed in place; one without INT8 weights is left as it is.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    shifted = {
        name
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in weights
        for name in (node.input[0], node.input[2])
        if weights[name].data_type == onnx.TensorProto.INT8
    }
    for name in shifted:
        values = numpy_helper.to_array(weights[name]).astype(np.int16) + _MIDDLE
        weights[name].CopyFrom(numpy_helper.from_array(values.astype(np.uint8), name))
