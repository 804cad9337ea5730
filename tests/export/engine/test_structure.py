"""What counts as the same graph with other weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_export.engine._structure import structure_sha256

from .test_engine import _net


def test_structure_leaves_weights_out_and_shapes_in(tmp_path: Path) -> None:
    """As onnx itself reads it: only the numbers of float initializers may differ."""
    first = _net(tmp_path / "first.onnx", onnx.TensorProto.FLOAT16)
    model = onnx.load(first)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    axes = onnx.numpy_helper.from_array(np.array([1, 2]), "axes")

    def saved(change: Callable[[onnx.ModelProto], None]) -> str:
        other = onnx.load(first)
        other.graph.initializer.append(axes)
        change(other)
        onnx.save(other, tmp_path / "other.onnx")
        return structure_sha256(tmp_path / "other.onnx")

    def weights(other: onnx.ModelProto) -> None:
        other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight * 2, "w"))

    def width(other: onnx.ModelProto) -> None:
        other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight[:8], "w"))

    def numbers(other: onnx.ModelProto) -> None:
        other.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.array([1, 3]), "axes"))

    def node(other: onnx.ModelProto) -> None:
        other.graph.node[3].op_type = "Tanh"

    same = saved(lambda other: None)
    assert saved(weights) == same
    assert len({same, saved(width), saved(numbers), saved(node)}) == 4


@pytest.mark.parametrize("data", [b"", b"\x07", b"\x3a\xff\x01ab", b"\xff" * 12])
def test_structure_of_what_is_no_onnx(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(UnsupportedEngine, match=r"bad\.onnx is (empty|not an ONNX graph)"):
        structure_sha256(path)
