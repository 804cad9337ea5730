"""Take an ONNX file and the weights beside it into one file, as a checkpoint holds it."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

LARGEST = 1_900_000_000
"""Bytes of float32 weights that one ONNX file holds (2 GiB are the format's end); above it they
are stored as float16 and widened when the file is opened."""

_SMALL = 1 << 16
"""Bytes of a tensor that is left in float32: it saves nothing."""


def in_one_file(path: Path, whole: Path) -> Path:
    """Write a file with its weights inside, if some lie beside it; return the file to take.

    Args:
        path: an ONNX file that opens.
        whole: file to write where that is needed.
    """
    bare = onnx.load(path, load_external_data=False)
    if all(t.data_location != TensorProto.EXTERNAL for t in bare.graph.initializer):
        return path
    whole.write_bytes(serialized(onnx.load(path))[0])
    return whole


def serialized(model: onnx.ModelProto) -> tuple[bytes, bool]:
    """Serialize a model with its weights; tell whether they had to be stored as float16.

    Args:
        model: with its weights in memory; it is changed in place.
    """
    half = sum(len(t.raw_data) for t in model.graph.initializer) > LARGEST
    if half:
        _halve(model)
    return model.SerializeToString(deterministic=True), half


def _halve(model: onnx.ModelProto) -> None:
    """Store float32 weights as float16, each widened by a Cast."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.raw_data) < _SMALL:
            continue
        name = tensor.name
        half = numpy_helper.to_array(tensor).astype("float16")
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
