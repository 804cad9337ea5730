"""Optimization profiles of graphs with free axes, ours and other people's."""

from __future__ import annotations

import pytest

from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_export.engine._profiles import profiles
from edgeswap_runtime.bundle.manifest import Graph, GraphInput, Tensor

AXES = ("batch", "channel", "height", "width")


def graph(*shape: int | str, **changes: object) -> Graph:
    fields = {"name": "data", "dtype": "float32", "shape": shape, "axes": AXES[: len(shape)]}
    taken = GraphInput(role="crop:face/source", **fields)  # type: ignore[arg-type]
    given = Tensor(name="out", dtype="float32", shape=(1,), axes=("batch",))
    return Graph(file="g.onnx", precision="fp32", inputs=(taken,), outputs=(given,), **changes)  # type: ignore[arg-type]


def test_a_free_batch_of_unknown_range_is_one_picture() -> None:
    found = profiles("recognizer", graph("None", 3, 112, 112), {})
    assert found == {"data": ((1, 3, 112, 112),) * 3}
    asked = profiles("recognizer", graph("None", 3, 112, 112), {"None": (1, 2, 4)})
    assert [shape[0] for shape in asked["data"]] == [1, 2, 4]


def test_a_stated_batch_is_kept_to() -> None:
    stated = graph("batch", 3, 8, 8, dynamic_axes={"batch": (1, 4, 8)})
    assert [shape[0] for shape in profiles("encode", stated, {})["data"]] == [1, 4, 8]
    with pytest.raises(UnsupportedEngine, match="beyond 1 to 8"):
        profiles("encode", stated, {"batch": (1, 4, 16)})


def test_other_free_axes_must_be_told() -> None:
    with pytest.raises(UnsupportedEngine, match=r"axis 'side' of unknown range: add --size side="):
        profiles("recognizer", graph(1, 3, "side", 8), {})
    assert profiles("recognizer", graph(1, 3, 8, 8), {}) == {}
