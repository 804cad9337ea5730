"""Store weights in float16 where it holds them exactly, in half the bytes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export.graphs.values import LARGE_BYTES

SUFFIX = "_float16"
"""Ending of the stored weight's name; the graph computes with the name without it."""


def store_in_float16(model: onnx.ModelProto) -> int:
    """Store float32 weights as float16 where no bit is lost, each with a cast after it.

    Weights that were trained or saved in float16 are such numbers. ONNX Runtime, OpenVINO and
    TensorRT fold constants when they load a graph, and compute with the same float32 numbers as
    before.

    Args:
        model: in memory; changed in place. Weights of up to LARGE_BYTES are not changed.

    Returns:
        bytes saved.
    """
    casts, saved = [], 0
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.raw_data) <= LARGE_BYTES:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if half.astype(np.float32).tobytes() != values.tobytes():
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, name + SUFFIX))
        casts.append(helper.make_node("Cast", [name + SUFFIX], [name], name=f"{name}_cast", to=1))
        saved += half.nbytes
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return saved
