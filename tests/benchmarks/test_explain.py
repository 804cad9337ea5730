"""Reading graphs, counting their work, probing the machine, and saying what the limit is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeswap_bench import BenchConfig, BundleSubject, SwapOptions, bench
from edgeswap_bench._extras import with_estimates, with_explanations
from edgeswap_bench.explain.ceilings import Ceilings
from edgeswap_bench.explain.costs import NodeCost, block_of, graph_costs
from edgeswap_bench.explain.explain import fold, require_profiler
from edgeswap_bench.explain.limits import judge_limit, kind_of
from edgeswap_bench.explain.onnx_reader import read_onnx
from edgeswap_bench.explain.onnx_writer import OnnxWriter
from edgeswap_bench.explain.probes import higher, measure_ceilings
from edgeswap_bench.predict.devices import DEVICES
from edgeswap_bench.predict.predict import estimate, graph_seconds, parse_devices
from edgeswap_bench.report.table import table
from edgeswap_runtime.backends.profiling import LayerTime
from edgeswap_runtime.bundle.manifest import Graph, Tensor
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CEILINGS = Ceilings(
    macs_per_s=1e9, cached_bytes_per_s=1e9, memory_bytes_per_s=1e8, kernel_s=0.0, cache_bytes=1000
)
AXES = ("batch", "channel", "height", "width")


def network() -> Any:
    """conv (3 -> 8, stride 2), relu, reshape, matmul with a nameless weight, bias with a name."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "unet.down_blocks.0.resnets.1.conv1.weight"], ["a"],
                         name="conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Reshape", ["b", "shape"], ["c"], name="reshape"),
        helper.make_node("MatMul", ["c", "val_3"], ["d"], name="matmul"),
        helper.make_node("Add", ["d", "unet.mid_block.attentions.0.proj.bias"], ["y"], name="add"),
    ]  # fmt: skip
    body = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [16, 5])],
        [
            weight("unet.down_blocks.0.resnets.1.conv1.weight", 8, 3, 3, 3),
            numpy_helper.from_array(np.array([16, 8]), "shape"),
            weight("val_3", 8, 5),
            weight("unet.mid_block.attentions.0.proj.bias", 5),
        ],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def graph(tmp_path: Path) -> tuple[Path, Graph]:
    """That network as a file, and as a manifest states it."""
    path = tmp_path / "g.onnx"
    onnx.save(network(), path)
    x = Tensor(name="x", dtype="float32", shape=(1, 3, 8, 8), axes=AXES)
    y = Tensor(name="y", dtype="float32", shape=(16, 5), axes=("token", "channel"))
    return path, Graph(file="g.onnx", precision="fp32", inputs=(x,), outputs=(y,))


def test_the_reader_sees_what_onnx_sees(graph: tuple[Path, Graph]) -> None:
    found, truth = read_onnx(graph[0]), network().graph
    assert [(n.name, n.kind, n.inputs, n.outputs) for n in found.nodes] == [
        (n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in truth.node
    ]
    assert found.weights == {
        w.name: (tuple(w.dims), 8 if w.data_type == TensorProto.INT64 else 4)
        for w in truth.initializer
    }
    assert found.inputs == ("x",)


@pytest.mark.parametrize("content", [b"not onnx at all", b"", b"\x3a\xff\x01abc", b"\x08\x08"])
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"x\.onnx cannot be read as an ONNX graph"):
        read_onnx(tmp_path / "x.onnx")


def test_the_writer_writes_what_onnx_accepts() -> None:
    writer = OnnxWriter(inputs={"x": (1, 2, 4, 4)}, outputs={"y": (1, 3, 4, 4)})
    weights = np.arange(54, dtype=np.float32).reshape(3, 2, 3, 3)
    writer.node("Conv", ["x", writer.weight("w", weights)], ["t"], pads=[1, 1, 1, 1])
    writer.node("Softmax", ["t"], ["y"], axis=[-1])
    model = onnx.load_from_string(writer.encode())
    onnx.checker.check_model(model, full_check=True)
    assert (numpy_helper.to_array(model.graph.initializer[0]) == weights).all()
    assert helper.get_attribute_value(model.graph.node[1].attribute[0]) == -1


def test_work_is_counted_by_hand(graph: tuple[Path, Graph]) -> None:
    costs = {cost.name: cost for cost in graph_costs(*graph)}
    assert costs["conv"].macs == 8 * 4 * 4 * 3 * 3 * 3
    assert costs["matmul"].macs == 16 * 5 * 8
    assert costs["conv"].read_bytes == 4 * (3 * 64 + 8 * 27)
    assert costs["conv"].written_bytes == 4 * 8 * 16
    assert costs["reshape"].bytes == 0
    assert [cost.macs for cost in costs.values() if cost.name in ("relu", "add")] == [0, 0]
    assert costs["relu"].pointwise and not costs["conv"].pointwise
    assert {name: cost.block for name, cost in costs.items()} == {
        "conv": "down_blocks.0.resnets.1",
        "relu": "down_blocks.0.resnets.1",
        "reshape": "down_blocks.0.resnets.1",
        "matmul": "mid_block.attentions.0",
        "add": "mid_block.attentions.0",
    }


@pytest.mark.parametrize(
    ("weight", "block"),
    [
        ("unet.up_blocks.1.resnets.0.conv1.weight", "up_blocks.1.resnets.0"),
        ("unet.up_blocks.0.attentions.1.transformer_blocks.0.ff.net.2.bias",
         "up_blocks.0.attentions.1"),
        ("unet.mid_block.attentions.0.to_q.weight", "mid_block.attentions.0"),
        ("unet.conv_in.bias", "conv_in"),
        ("unet.time_embedding.linear_1.weight", "time_embedding"),
        ("vae.decoder.layers.3.conv.2.weight", "decoder.layers.3"),
        ("val_12", ""),
    ],
)  # fmt: skip
def test_weights_name_their_block(weight: str, block: str) -> None:
    assert block_of(weight) == block


def test_kernels_are_folded_into_blocks() -> None:
    def cost(name: str, block: str, macs: int) -> NodeCost:
        return NodeCost(name=name, kind="Conv", block=block, macs=macs, read_bytes=1,
                        written_bytes=1, pointwise=False, outputs=(f"{name}_out",))  # fmt: skip

    costs = [cost("node_conv2d", "a", 10), cost("node_conv2d_1", "b", 20), cost("last", "b", 5)]
    layers = [
        LayerTime(name="ReorderInput_token_4", kind="ReorderInput", milliseconds=1.0),
        LayerTime(name="conv2d_nchwc", kind="Conv", milliseconds=2.0),
        LayerTime(name="x/WithoutBiases", kind="Convolution", milliseconds=4.0,
                  nodes=("x/WithoutBiases", "node_conv2d_1")),
        LayerTime(name="last_out_nchwc", kind="Conv", milliseconds=8.0),
    ]  # fmt: skip
    found = {block.name: block for block in fold(layers, costs)}
    assert (found["a"].milliseconds, found["b"].milliseconds) == (3.0, 12.0)
    assert (found["a"].macs, found["b"].macs, found["b"].bytes) == (10, 25, 4)


@pytest.mark.parametrize(
    ("kinds", "measured", "ideal", "words", "advice"),
    [
        (
            {"multiply": 9.0, "pointwise": 1.0},
            10.0,
            8.0,
            "near this machine's ceiling (89 %",
            "int8",
        ),
        ({"multiply": 9.0, "pointwise": 1.0}, 10.0, 2.0, "reach 22 % of this", "multiples of 16"),
        ({"multiply": 3.0, "normalize": 7.0}, 10.0, 2.0, "normalize kernels, 70 %", "fuse"),
        ({"multiply": 5.5, "layout": 2.0}, 10.0, 5.0, "near", "25 % of the time passes between"),
        ({"multiply": 5.5, "layout": 4.5}, 10.0, 5.0, "near", "45 % of the kernels' time changes"),
        ({"multiply": 2.0}, 2.0, 5.0, "unknown: the kernels were faster", "measure again"),
        ({"layout": 0.0}, 2.0, 0.0, "unknown: the profiler saw no kernel", ""),
        ({}, 2.0, 0.0, "unknown: the profiler saw no kernel", ""),
    ],
)
def test_the_limit_in_words(
    kinds: dict[str, float], measured: float, ideal: float, words: str, advice: str
) -> None:
    limit, tips = judge_limit(kinds, measured, ideal, "fp32")
    assert words in limit and advice in " ".join(tips)


def test_kinds_of_kernels() -> None:
    words = ("NhwcFusedConv", "FullyConnected", "MVN", "Reorder", "QuickGelu", "Subgraph")
    assert [kind_of(word) for word in words] == [
        "multiply", "multiply", "normalize", "layout", "pointwise", "pointwise"]  # fmt: skip


def test_this_machine_has_ceilings() -> None:
    found = measure_ceilings(SwapOptions(threads=1), seconds=0.01)
    assert 1e8 < found.macs_per_s < 1e14
    assert found.memory_bytes_per_s > 1e8 and found.cached_bytes_per_s > 1e8
    assert 0 <= found.kernel_s < 1e-3
    twice = higher(found, CEILINGS)
    assert twice.macs_per_s == max(found.macs_per_s, 1e9) and twice.kernel_s == 0.0


@pytest.mark.parametrize(
    ("macs", "moved", "fuses", "scale", "seconds", "bound"),
    [
        (7_000, 10, False, 1.0, 1e-5, True),  # 7e3 / (0.7e9)
        (7, 700, False, 1.0, 1e-6, False),  # 700 / (0.7e9), cached
        (7, 7_000, False, 1.0, 1e-4, False),  # 7000 / (0.7e8), beyond the cache
        (7, 1_400, False, 0.5, 1e-6, False),  # half precision fits the cache
        (0, 700, True, 1.0, 0.0, False),  # pointwise, fused
        (0, 0, False, 1.0, 0.0, False),  # a view
    ],
)
def test_an_estimate_by_hand(
    macs: int, moved: int, fuses: bool, scale: float, seconds: float, bound: bool
) -> None:
    node = NodeCost(name="n", kind="x", block="b", macs=macs, read_bytes=moved, written_bytes=0,
                    pointwise=True)  # fmt: skip
    found, multiplying = graph_seconds([node], CEILINGS, fuses=fuses, bytes_scale=scale)
    assert math.isclose(found, seconds, abs_tol=1e-15)
    assert (multiplying > 0) == bound


def test_faster_devices_are_estimated_faster(graph: tuple[Path, Graph]) -> None:
    costs = dict.fromkeys(("encode", "denoise", "decode"), graph_costs(*graph))
    runs = {"encode": 1, "denoise": 4, "decode": 1}
    times = {name: estimate(costs, runs, name) for name in DEVICES}
    assert times["rtx4090"].swap_ms < times["rtx3060"].swap_ms < times["orin-nano"].swap_ms
    one = times["rtx4090"]
    assert one.swap_ms == pytest.approx(6 * one.graphs["denoise"])
    assert one.sources and one.to_json()["estimate"] is True


def test_devices_are_known_by_name() -> None:
    assert parse_devices("RTX4090, orin-nano") == ("rtx4090", "orin-nano")
    with pytest.raises(InvalidRequest, match="no device 'gtx1' to predict for: expected some of"):
        parse_devices("gtx1")
    assert all(device.sources for device in DEVICES.values())


@pytest.mark.parametrize("backend", ["ort", "openvino"])
def test_a_bundle_is_explained(
    bundle_folder: Path, photo: NDArray[np.uint8], backend: str, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    if backend == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("edgeswap_bench.explain.explain.measure_ceilings", lambda options: CEILINGS)
    made = BundleSubject(bundle_folder, photo, photo, SwapOptions(backend=backend, threads=1))
    report = bench([made], BenchConfig(runs=1, warmup=0, tasks=("unet",)))
    report = with_estimates(with_explanations(report, made), made, ("rtx3060",))
    made.close()
    found = {one["graph"]: one for one in report.explanations}
    assert set(found) == {"encode", "identity", "denoise", "decode"}
    assert found["encode"]["kernels_ms"] > 0 and found["encode"]["bytes"] > 0
    assert found["encode"]["limit"] and found["encode"]["blocks"]
    shown = table(report)
    assert "limit:" in shown and "estimates, not measured" in shown and "RTX 3060" in shown


def test_what_cannot_be_profiled_is_said() -> None:
    require_profiler("openvino", "gpu")
    with pytest.raises(InvalidRequest, match="--explain cannot profile ort on cuda: expected"):
        require_profiler("ort", "cuda")
