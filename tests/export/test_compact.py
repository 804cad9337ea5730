"""Weights in half the bytes: only where no bit is lost, and only bytes change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgeswap_compress import Checkpoint, default_checkpoint
from edgeswap_export import BundleInfo, ExportConfig, GraphsConfig, export
from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.graphs.compact import SUFFIX, store_in_float16
from edgeswap_export.graphs.example import seeded_example
from edgeswap_export.graphs.swap_graphs import torch_graphs
from edgeswap_export.parity.compare import open_graphs, run_graph
from edgeswap_export.precision.run import answers
from edgeswap_runtime import Bundle
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.cli import main


def product(weight: np.ndarray) -> onnx.ModelProto:
    size = weight.shape[0]
    value = helper.make_tensor_value_info("x", 1, [1, size])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "product",
        [value],
        [helper.make_tensor_value_info("y", 1, [1, size])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_exact_weights_take_half_the_bytes_and_give_the_same_bits() -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((64, 64)).astype(np.float16).astype(np.float32)
    weight[0, 0] = -0.0
    plain, small = product(weight), product(weight)
    assert store_in_float16(small) == weight.nbytes // 2
    assert [tensor.name for tensor in small.graph.initializer] == ["w" + SUFFIX]
    onnx.checker.check_model(small, full_check=True)
    feed = [{"x": random.standard_normal((1, 64)).astype(np.float32)}]
    (before,), (after,) = answers(plain, feed), answers(small, feed)
    assert before["y"].tobytes() == after["y"].tobytes()


@pytest.mark.parametrize("spoiled", [1 / 3, 1e6, 1e-9])
def test_a_weight_that_would_change_stays_float32(spoiled: float) -> None:
    weight = np.ones((64, 64), np.float32)
    weight[3, 3] = spoiled
    model = product(weight)
    assert store_in_float16(model) == 0
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), weight)


def test_a_compact_bundle_is_proven_like_any_other(
    tmp_path: Path, known_graphs: Any, guided: Any
) -> None:
    known_graphs()
    arguments = ["--compact", "--single-file", "--schedule", "ddim:2", "--steps", "2"]
    assert main(["export", str(guided.checkpoint), str(tmp_path / "b"), *arguments]) == 0
    small = Bundle.open(tmp_path / "b").manifest
    whole = Bundle.open(guided.bundle).manifest
    assert small.files["denoise.onnx"].bytes < 0.7 * whole.files["denoise.onnx"].bytes
    assert small.parity["graphs"] == whole.parity["graphs"]


def test_compact_is_for_float32() -> None:
    with pytest.raises(UnsupportedExport, match="leave one of the two out"):
        ExportConfig(graphs=GraphsConfig(compact=True, precision="int8"))


def test_the_packaged_bundle_computes_what_the_packaged_student_does() -> None:
    """Its graphs against torch on a seeded swap, as near as the export asks of a new bundle."""
    student, bundle = Checkpoint.load(default_checkpoint("student")), Bundle.open(default_bundle())
    sample = seeded_example(student.swap, seed=5)
    graphs = torch_graphs(student, sample.target, sample.source, sample.noise)
    backend = open_graphs(bundle.path, {name: f"{name}.onnx" for name in graphs})
    for name, graph in graphs.items():
        feed = {key: value.numpy() for key, value in graph.inputs.items()}
        for key, found in run_graph(backend, name, feed).items():
            expected = graph.outputs[key].numpy()
            assert np.abs(found - expected).max() <= 1e-4 * expected.std(), (name, key)
    backend.close()
    assert bundle.manifest.history[:-1] == student.swap.history


@pytest.mark.slow
def test_the_packaged_bundle_is_what_the_export_gives_today(tmp_path: Path) -> None:
    """The same versions of the packages give the same bytes; others, the same answers (above)."""
    config = ExportConfig(
        info=BundleInfo(name="student"), graphs=GraphsConfig(compact=True), detector=False
    )
    export(default_checkpoint("student"), config, tmp_path / "student")
    fresh, packaged = (Bundle.open(p).manifest for p in (tmp_path / "student", default_bundle()))
    if fresh.made_with != packaged.made_with:
        pytest.skip(f"packaged with {packaged.made_with}, here are {fresh.made_with}")
    for name in ("encode.onnx", "identity.onnx", "denoise.onnx", "decode.onnx"):
        assert fresh.files[name].sha256 == packaged.files[name].sha256, name
