"""float16 and bfloat16 graphs: right where they can be, float32 where they cannot."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export.graphs.values import value_types
from edgeswap_export.precision._emulate import emulated
from edgeswap_export.precision._lower import KINDS, lower, phase_nodes
from edgeswap_export.precision.convert import allowed, convert
from edgeswap_export.precision.float32_nodes import FP16_MAX, HEADROOM, overflowing
from edgeswap_export.precision.observe import largest
from edgeswap_export.precision.run import answers

RANDOM = np.random.default_rng(0)


def model_of(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list[int], opset: int = 18
) -> onnx.ModelProto:
    """A graph from x to y, both of one shape, with every node named."""
    for index, node in enumerate(nodes):
        node.name = node.name or f"n{index}"
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy")
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def convolutional(gain: float = 1.0) -> onnx.ModelProto:
    """conv -> instance norm -> sigmoid -> conv, with the first conv's results times a gain."""
    w = RANDOM.normal(0, 0.2, (2, 8, 8, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b"], ["c"], name="conv1", pads=[1] * 4),
        helper.make_node("InstanceNormalization", ["c", "s", "b"], ["n"], name="norm"),
        helper.make_node("Sigmoid", ["n"], ["g"], name="gate"),
        helper.make_node("Conv", ["g", "w2"], ["y"], name="conv2", pads=[1] * 4),
    ]
    ones, zeros = np.ones(8, np.float32), np.zeros(8, np.float32)
    return model_of(
        nodes, {"w1": w[0] * np.float32(gain), "w2": w[1], "s": ones, "b": zeros}, [1, 8, 9, 9]
    )


def feeds(count: int = 2) -> list[dict[str, np.ndarray]]:
    return [{"x": RANDOM.standard_normal((1, 8, 9, 9)).astype(np.float32)} for _ in range(count)]


def rms(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.square(found - expected).mean()) / expected.std())


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_inside_is_low_and_borders_are_float32(kind: str) -> None:
    model = convolutional()
    converted = convert(model, kind, feeds())
    onnx.checker.check_model(converted.model, full_check=True)
    assert [v.name for v in converted.model.graph.output] == ["y"]
    types = value_types(converted.model)
    low, dtype = KINDS[kind]
    assert types["x"] == types["y"] == TensorProto.FLOAT
    assert types["c"] == types["g"] == types["w1"] == low
    assert 2 * sum(len(t.raw_data) for t in converted.model.graph.initializer) == pytest.approx(
        sum(len(t.raw_data) for t in model.graph.initializer), rel=0.1
    )
    assert converted.model.opset_import[0].version == {"fp16": 18, "bf16": 22}[kind]
    assert dtype.itemsize == 2


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_result_is_within_what_rounding_explains(kind: str) -> None:
    model, data = convolutional(), feeds(4)
    converted = convert(model, kind, data)
    expected = [a["y"] for a in answers(model, data)]
    assert converted.low is not None
    found = [a["y"] for a in answers(converted.emulation(), data, converted.level)]
    errors = [rms(f, e) for f, e in zip(found, expected, strict=True)]
    assert 0 < max(errors) < allowed(kind)


def test_emulation_rounds_every_result() -> None:
    """x + 1 - 1 in bfloat16 loses all below 2^-8; the emulation must lose it too."""
    nodes = [
        helper.make_node("Add", ["x", "one"], ["sum"]),
        helper.make_node("Sub", ["sum", "one"], ["y"]),
    ]
    model = model_of(nodes, {"one": np.float32(1.0)}, [3])
    x = np.array([2.0**-9, 2.0**-7, 0.3], np.float32)
    emulation = emulated(lower(model, "bf16"), TensorProto.BFLOAT16)
    (found,) = answers(emulation, [{"x": x}], "none")
    low = ml_dtypes.bfloat16
    expected = ((x.astype(low) + low(1)) - low(1)).astype(np.float32)
    assert np.array_equal(found["y"], expected) and found["y"][0] == 0


def test_overflowing_norm_stays_float32_and_is_listed() -> None:
    """A gain of 300 makes squares beyond 65504: float16 alone gives no number there."""
    model, data = convolutional(gain=300.0), feeds(4)
    naive = emulated(lower(model, "fp16"), TensorProto.FLOAT16)
    converted = convert(model, "fp16", data)
    assert converted.float32_nodes["overflow"] == ["norm"]
    assert value_types(converted.model)["n"] == TensorProto.FLOAT
    assert value_types(converted.model)["c"] == TensorProto.FLOAT16
    assert naive.graph.node != converted.model.graph.node
    expected = answers(model, data)[0]["y"]
    assert converted.low is not None
    assert rms(answers(converted.emulation(), data, "none")[0]["y"], expected) < allowed("fp16")


def test_values_beyond_float16_stay_float32() -> None:
    """x * 1e6 overflows, its softmax would not be a number; both stay float32 by themselves."""
    nodes = [
        helper.make_node("Mul", ["x", "big"], ["m"], name="scale"),
        helper.make_node("Softmax", ["m"], ["p"], name="softmax"),
        helper.make_node("Mul", ["p", "two"], ["y"], name="double"),
    ]
    model = model_of(nodes, {"big": np.float32(1e5), "two": np.float32(2.0)}, [2, 4])
    data = [{"x": RANDOM.standard_normal((2, 4)).astype(np.float32)}]
    naive = answers(emulated(lower(model, "fp16"), TensorProto.FLOAT16), data, "none")[0]["y"]
    assert not np.isfinite(naive).all()
    converted = convert(model, "fp16", data)
    assert converted.float32_nodes["overflow"] == ["scale", "softmax"]
    assert converted.low is not None
    found = answers(converted.emulation(), data, "none")[0]["y"]
    assert np.allclose(found, answers(model, data)[0]["y"], atol=2e-3)


def test_limit_is_for_squares_in_norms_only() -> None:
    model = convolutional()
    peak = (FP16_MAX / HEADROOM) ** 0.5
    assert overflowing(model, {"c": peak * 0.99}) == []
    assert overflowing(model, {"c": peak * 1.01}) == ["norm"]
    assert overflowing(model, {"c": peak**2 * 1.01}) == ["conv1", "norm"]
    assert overflowing(model, {"g": float("inf")}) == ["gate", "conv2"]


def test_timestep_angles_stay_float32() -> None:
    """sin(999 f) from a float16 angle is a random number."""
    nodes = [
        helper.make_node("Mul", ["x", "f"], ["angle"], name="angle"),
        helper.make_node("Sin", ["angle"], ["s"], name="sine"),
        helper.make_node("Mul", ["s", "f"], ["y"], name="after"),
    ]
    model = model_of(nodes, {"f": np.linspace(0.1, 1, 4, dtype=np.float32)}, [1, 4])
    assert phase_nodes(model) == {"angle", "sine"}
    data = [{"x": np.full((1, 4), 999.0, np.float32)}]
    low = lower(model, "bf16")
    names = {t.name: t.data_type for t in low.graph.initializer}
    assert names == {"f": TensorProto.BFLOAT16, "f/float32": TensorProto.FLOAT}
    (found,) = answers(emulated(low, TensorProto.BFLOAT16), data, "none")
    assert np.allclose(found["y"], answers(model, data)[0]["y"], atol=0.01)


def test_largest_sees_every_value() -> None:
    data = feeds(3)
    model = convolutional()
    found = largest(model, data)
    assert set(found) == {"x", "c", "n", "g", "y"}
    assert found["x"] == max(float(np.abs(d["x"]).max()) for d in data)
    assert found["y"] == max(float(np.abs(a["y"]).max()) for a in answers(model, data, "none"))
