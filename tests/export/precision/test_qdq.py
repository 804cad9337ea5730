"""INT8 and FP8 graphs: where the pairs go, what they cost, and which layers are left out."""

from __future__ import annotations

from collections.abc import Sequence

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export.precision._local_errors import local_errors
from edgeswap_export.precision._sensitivity import choose_layers, relative_error
from edgeswap_export.precision.convert import calibrated, convert
from edgeswap_export.precision.qdq import (
    GRIDS,
    QuantizableLayer,
    clips,
    quantizable,
    quantize,
)
from edgeswap_export.precision.run import answers

FEEDS = [
    {"x": np.random.default_rng(seed).standard_normal((1, 16, 8, 8)).astype(np.float32)}
    for seed in range(4)
]


def model_of(wild: float = 1.0) -> onnx.ModelProto:
    """conv -> relu -> conv -> tokens -> matmul -> bias -> matmul without bias.

    One number of the second convolution's input is `wild` times larger: a layer that is hard to
    quantize.
    """
    random = np.random.default_rng(7)

    def weight(*shape: int) -> np.ndarray:
        return (random.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    spike = np.ones((1, 16, 1, 1), np.float32)
    spike[0, 0] = wild
    weights = {"w1": weight(16, 16, 3, 3), "w2": weight(16, 16, 3, 3), "b1": weight(16, 1)[:, 0]}
    weights |= {"m1": weight(16, 32), "c1": weight(32, 1)[:, 0], "m2": weight(32, 16)}
    weights |= {"spike": spike, "shape": np.array([1, 16, 64], np.int64)}
    weights["w2"][:, 0] /= wild
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], name="conv1", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Mul", ["r", "spike"], ["rs"], name="spike"),
        helper.make_node("Conv", ["rs", "w2"], ["d"], name="conv2", pads=[1] * 4),
        helper.make_node("Reshape", ["d", "shape"], ["f"], name="flat"),
        helper.make_node("Transpose", ["f"], ["t"], name="tokens", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "m1"], ["h"], name="linear1"),
        helper.make_node("Add", ["h", "c1"], ["hb"], name="bias1"),
        helper.make_node("MatMul", ["hb", "m2"], ["y"], name="linear2"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64, 16])
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def quantized(model: onnx.ModelProto, to: str) -> onnx.ModelProto:
    layers = quantizable(model, to)
    return quantize(model, to, calibrated(model, FEEDS, layers, to), layers)


def kinds_after_fusion(model: onnx.ModelProto, tmp_path) -> list[str]:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]


def test_layers() -> None:
    model = model_of()
    assert [layer.node.name for layer in quantizable(model, "int8")] == [
        "conv1",
        "conv2",
        "linear1",
    ]
    assert [layer.result for layer in quantizable(model, "int8")] == ["c", "d", "hb"]
    assert [layer.node.name for layer in quantizable(model, "fp8")][-1] == "linear2"


def test_onnxruntime_runs_int8_kernels(tmp_path) -> None:
    kinds = kinds_after_fusion(quantized(model_of(), "int8"), tmp_path)
    assert kinds.count("QLinearConv") == 2 and "QGemm" in kinds
    assert "Conv" not in kinds


def test_int8_is_symmetric_and_per_channel() -> None:
    model = model_of()
    new = quantized(model, "int8")
    onnx.checker.check_model(new, full_check=True)
    stored = {t.name: numpy_helper.to_array(t) for t in new.graph.initializer}
    assert "w1" not in stored and "m1" not in stored  # the float weights are gone
    for name, axis in (("w1", 0), ("m1", 1)):
        original = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name)
        scale, values = stored[f"{name}/.{axis}scale"], stored[f"{name}/.{axis}quantized"]
        assert values.dtype == np.int8 and scale.shape == (original.shape[axis],)
        assert np.abs(values).max() == 127
        shape = [-1 if i == axis else 1 for i in range(original.ndim)]
        wrong = np.abs(values * scale.reshape(shape) - original)
        assert (wrong <= scale.reshape(shape) * 0.5001).all()
    assert all((v == 0).all() for k, v in stored.items() if k.endswith("zero"))


def test_fp8_has_one_scale_a_tensor_and_floats_on_the_grid() -> None:
    new = quantized(model_of(), "fp8")
    onnx.checker.check_model(new, full_check=True)
    assert new.opset_import[0].version == 19
    stored = {t.name: t for t in new.graph.initializer}
    weight = stored["w1/quantized"]
    assert weight.data_type == TensorProto.FLOAT8E4M3FN
    values = numpy_helper.to_array(weight).astype(np.float32)
    assert np.abs(values).max() == 448
    assert numpy_helper.to_array(stored["w1/scale"]).shape == ()
    assert np.array_equal(values, values.astype(ml_dtypes.float8_e4m3fn).astype(np.float32))


@pytest.mark.parametrize(("kind", "low", "high"), [("int8", 1e-3, 0.03), ("fp8", 5e-3, 0.06)])
def test_error_is_what_the_grid_explains(kind: str, low: float, high: float) -> None:
    model = model_of()
    expected = answers(model, FEEDS)
    level = "all" if kind == "int8" else "basic"
    assert low < relative_error(quantized(model, kind), FEEDS, expected, level) < high


def test_clip_of_the_least_squared_error() -> None:
    random = np.random.default_rng(0)
    even = random.uniform(-1, 1, 10000).astype(np.float32)
    heavy = random.laplace(0, 0.02, 10000).astype(np.float32)
    found = clips({"even": even, "heavy": heavy}, {"even": 1.0, "heavy": 1.0}, "int8")
    assert found["even"] == 1.0 and found["heavy"] < 0.6
    assert clips({"heavy": heavy}, {"heavy": 1.0}, "fp8") == {"heavy": 1.0}


def test_costly_layer_is_left_out() -> None:
    """With one channel 300 times the others its input has no bits left for them."""
    model = model_of(wild=300.0)
    whole = relative_error(quantized(model, "int8"), FEEDS, answers(model, FEEDS), "all")
    converted = convert(model, "int8", FEEDS, budget=0.02)
    assert whole > 0.02
    assert converted.loss is not None and converted.loss <= 0.02
    assert converted.float32_nodes["quantization"][0] == "conv2"
    assert {n.name for n in converted.model.graph.node if n.op_type == "Conv"} == {
        "conv1",
        "conv2",
    }


def test_only_as_many_as_needed_are_left_out() -> None:
    """Costs add up: 8, 4, 2, 1 with 3 allowed leaves out the two costliest, whatever the order."""
    model = model_of()
    layers = (quantizable(model, "fp8") * 2)[:4]
    layers = [
        type(one)(helper.make_node("Conv", [], [], name=n), "")
        for one, n in zip(layers, "abcd", strict=True)
    ]
    costs = dict(zip("abcd", (2.0, 8.0, 1.0, 4.0), strict=True))
    built: dict[int, list[str]] = {}

    def build(some) -> onnx.ModelProto:
        stub = onnx.ModelProto()
        built[id(stub)] = [layer.node.name for layer in some]
        stub.doc_string = "".join(built[id(stub)])
        return stub

    choice = choose_layers(layers, build, lambda m: sum(costs[n] for n in m.doc_string), 3.0)
    assert [layer.node.name for layer in choice.left_out] == ["b", "d"]
    assert [layer.node.name for layer in choice.layers] == ["a", "c"]
    assert choice.loss == 3.0 and choice.alone == costs
    free = choose_layers(layers, build, lambda m: sum(costs[n] for n in m.doc_string), 15.0)
    assert free.left_out == () and free.alone == {}


@pytest.mark.parametrize(("budget", "left_out", "runs"), [(80, 0, 1), (25, 13, 2), (8, 19, 2)])
def test_predicted_choice_takes_few_measurements(budget: float, left_out: int, runs: int) -> None:
    """Independent errors: the loss is the root of the sum of squares."""
    costs = {f"l{i}": 1.0 + i for i in range(24)}
    layers = [QuantizableLayer(helper.make_node("Conv", [], [], name=name), name) for name in costs]
    measured: list[float] = []

    def loss(model: onnx.ModelProto) -> float:
        kept = model.doc_string.split()
        measured.append(sum(costs[name] ** 2 for name in kept) ** 0.5)
        return measured[-1]

    def build(some: Sequence[QuantizableLayer]) -> onnx.ModelProto:
        return onnx.ModelProto(doc_string=" ".join(layer.node.name for layer in some))

    whole = sum(cost**2 for cost in costs.values()) ** 0.5
    choice = choose_layers(
        layers, build, lambda m: loss(m) / whole * 70, budget, errors=lambda: costs
    )
    assert len(measured) == runs and len(choice.left_out) == left_out
    assert choice.loss <= budget
    assert [one.node.name for one in choice.left_out] == list(costs)[: 23 - left_out : -1]


def test_a_wrong_prediction_is_measured_again() -> None:
    """One layer of small error at its own result does all the harm."""
    costs = dict.fromkeys("abcdefgh", 1.0)
    layers = [QuantizableLayer(helper.make_node("Conv", [], [], name=n), n) for n in costs]
    choice = choose_layers(
        layers,
        lambda some: onnx.ModelProto(doc_string=" ".join(one.node.name for one in some)),
        lambda model: 10.0 if "e" in model.doc_string else 0.5,
        1.0,
        errors=lambda: costs,
    )
    assert "e" in [layer.node.name for layer in choice.left_out] and choice.loss <= 1.0


def test_a_layers_own_error_is_that_of_it_alone_on_the_same_input() -> None:
    model = model_of()
    layers = quantizable(model, "fp8")
    ranges = calibrated(model, FEEDS, layers, "fp8")
    found = local_errors(model, FEEDS, "fp8", ranges, layers)
    assert list(found) == ["conv1", "conv2", "linear1", "linear2"]
    right = [answer["y"] for answer in answers(model, FEEDS, "none")]
    alone = [answer["y"] for answer in answers(quantize(model, "fp8", ranges, layers[-1:]), FEEDS,
                                               "none")]  # fmt: skip
    wrong = np.square(np.subtract(alone, right)).mean() ** 0.5
    assert found["linear2"] == pytest.approx(wrong / np.square(right).mean() ** 0.5, rel=1e-3)


def test_the_layer_that_is_hard_to_quantize_has_the_largest_error() -> None:
    model = model_of(wild=300.0)
    layers = quantizable(model, "int8")
    ranges = calibrated(model, FEEDS, layers, "int8")
    found = local_errors(model, FEEDS, "int8", ranges, layers)
    assert max(found, key=found.__getitem__) == "conv2"
    plain = model_of()
    ranges = calibrated(plain, FEEDS, layers, "int8")
    assert all(0 < error < 0.03 for error in local_errors(plain, FEEDS, "int8", ranges,
                                                          layers).values())  # fmt: skip


def test_a_large_graph_keeps_its_budget_too() -> None:
    quick = convert(model_of(wild=300.0), "int8", FEEDS, large=True)
    assert quick.loss is not None and quick.loss <= 0.05
    assert "conv2" in quick.float32_nodes["quantization"]


def test_same_bytes_again() -> None:
    first, second = (convert(model_of(), "int8", FEEDS).model for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


def test_grids_have_a_zero() -> None:
    for grid in GRIDS.values():
        assert grid.round(np.zeros(3, np.float32)).astype(np.float32).any() == False  # noqa: E712
        assert float(grid.round(np.array([1e9], np.float32)).astype(np.float32)[0]) == grid.top
