"""`edgeswap inspect` on what the export wrote: layers, proof, engines, history, licenses."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgeswap_export import ExportConfig, GraphsConfig, SchedulesConfig, export
from edgeswap_export.precision.layers import layer_types
from edgeswap_runtime import Bundle
from edgeswap_runtime.bundle.engines import EngineEntry, EngineInputs
from edgeswap_runtime.bundle.manifest import read_manifest, write_manifest
from edgeswap_runtime.cli import main


def shown(bundle: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["inspect", str(bundle)]) == 0
    return capsys.readouterr().out


def test_float32(guided: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(guided.bundle, capsys)
    layers = Bundle.open(guided.bundle).manifest.graphs["denoise"].layers
    assert list(layers) == ["float32"] and layers["float32"] > 30
    assert f"layers by weights: {layers['float32']} float32" in out
    assert "parity      onnxruntime cpu fp32 against torch cpu fp32" in out
    assert "5 schedules: swaps differ by" in out
    assert "engine      none: edgeswap engine builds them" in out
    assert "history     tiny -> export" in out
    assert "license     face detector: MIT, YuNet 2023mar" in out


def test_int8_and_a_single_file(lowered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(lowered / "int8", capsys)
    layers = Bundle.open(lowered / "int8").manifest.graphs["decode"].layers
    assert layers["int8"] > 0 and f"{layers['int8']} int8" in out
    assert "swap.onnx: " in out and "from the graphs, schedule ddim-2" in out


def test_a_free_batch(free: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "batch: 1 to 3, usually 2" in shown(free, capsys)


def test_engines_and_islands(
    guided: Any, tmp_path: Path, known_graphs: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    known_graphs()
    config = ExportConfig(
        graphs=GraphsConfig(precision="fp16", calibration_swaps=2),
        schedules=SchedulesConfig(others=()),
        detector=False,
    )
    bundle = export(guided.checkpoint, config, tmp_path / "bundle")
    shutil.copytree(bundle, tmp_path / "engined")
    manifest = read_manifest(tmp_path / "engined")
    inputs = EngineInputs(
        onnx={"denoise.onnx": "a" * 64}, backend="tensorrt_rtx", version="1.2.3",
        architectures=("SM86", "SM89"), precision="fp16", refitted_from="b" * 64,
    )  # fmt: skip
    plan = f"engines/{inputs.key}/denoise.plan"
    (tmp_path / "engined" / plan).parent.mkdir(parents=True)
    (tmp_path / "engined" / plan).write_bytes(bytes(2_500_000))
    entry = EngineEntry(graph="denoise", file=plan, structure_sha256="c" * 64, inputs=inputs)
    write_manifest(
        tmp_path / "engined", dataclasses.replace(manifest, files={}, engines={inputs.key: entry})
    )
    out = shown(tmp_path / "engined", capsys)
    assert (
        f"engine      denoise: tensorrt_rtx 1.2.3 for SM86,SM89, fp16, refitted, 2.50 MB, "
        f"{inputs.key[:12]}"
    ) in out
    phase = len(manifest.graphs["denoise"].float32_nodes["phase"])
    assert f"{phase} nodes kept in float32: phase" in out


def test_layers_are_counted_by_their_weights() -> None:
    """Through what stands between; a product of activations is none."""
    float32 = onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w0"]),
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Cast", ["half"], ["w1"], to=float32),
        helper.make_node("Transpose", ["w1"], ["w2"], perm=[1, 0]),
        helper.make_node("Gemm", ["a", "w2"], ["b"]),
        helper.make_node("MatMul", ["b", "plain"], ["c"]),
        helper.make_node("MatMul", ["c", "b"], ["y"]),
    ]
    weights = [
        numpy_helper.from_array(np.ones((2, 2), np.int8), "q"),
        numpy_helper.from_array(np.float32(0.5), "scale"),
        numpy_helper.from_array(np.ones((2, 2), np.float16), "half"),
        numpy_helper.from_array(np.ones((2, 2), np.float32), "plain"),
    ]
    border = [helper.make_tensor_value_info(name, float32, [2, 2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", border[:1], border[1:], weights)
    assert layer_types(helper.make_model(graph)) == {"float16": 1, "float32": 1, "int8": 1}
