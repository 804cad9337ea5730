"""What is measured inside a graph, against the values themselves."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export.precision.observe import largest, observe
from edgeswap_export.precision.run import Feed, look_inside


def model_of() -> onnx.ModelProto:
    """x -> times large weights -> less one -> square root: NaN where that is below zero."""
    weight = np.linspace(1.0, 3.0, 64 * 64, dtype=np.float32).reshape(64, 64)
    one = np.ones(1, np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="m"),
        helper.make_node("Shape", ["m"], ["shape"], name="shape"),
        helper.make_node("Sub", ["m", "one"], ["s"], name="s"),
        helper.make_node("Sqrt", ["s"], ["y"], name="y"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])
    stored = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(one, "one")]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def feeds(sign: float = 1.0) -> list[Feed]:
    random = np.random.default_rng(0)
    return [
        {"x": sign * random.uniform(0.1, 1.0, (rows, 64)).astype(np.float32)} for rows in (3, 8)
    ]


@pytest.mark.parametrize("samples", [0, 7, 100, 1000])
def test_the_figures_are_those_of_the_values(samples: int) -> None:
    model = model_of()
    values: dict[str, list[np.ndarray]] = {}
    look_inside(model, feeds(), lambda name, v: values.setdefault(name, []).append(v.copy()))
    found = observe(model, feeds(), samples=samples)
    assert set(found) == set(values) == {"x", "m", "s", "y"}
    for name, seen in found.items():
        assert seen.peak == max(float(np.abs(value).max()) for value in values[name])
        kept = [v.ravel()[:: max(v.size // samples, 1)] for v in values[name]] if samples else []
        assert len(seen.samples) == len(kept)
        assert all(np.array_equal(a, b) for a, b in zip(seen.samples, kept, strict=True))


def test_only_what_is_named_is_measured() -> None:
    assert set(observe(model_of(), feeds(), {"s", "x"})) == {"s", "x"}


def test_what_is_not_finite_counts_as_infinite() -> None:
    found = largest(model_of(), [*feeds(), *feeds(-1.0)])
    assert found["y"] == float("inf")
    assert np.isfinite([found["m"], found["s"]]).all()
