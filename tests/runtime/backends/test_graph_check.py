"""Graphs that are not what the manifest states are a bad bundle, told at opening."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_runtime import BadBundle, EdgeswapError, Swapper
from edgeswap_runtime.bundle.manifest import read_manifest, write_manifest

if TYPE_CHECKING:
    from pathlib import Path


def _other_graph(folder: Path, tiny: Any, **tensors: Any) -> None:
    """Put another `encode` into the bundle and leave the manifest's words about it."""
    from onnx import TensorProto, helper

    kind = tensors.get("kind", TensorProto.FLOAT)
    name, shape = tensors.get("name", "target"), tensors.get("shape", [1, 3, 24, 24])
    out = tensors.get("out", "target_latents")
    node = helper.make_node("SpaceToDepth", [name], [out], blocksize=tiny.BLOCK)
    extra = [helper.make_tensor_value_info(n, kind, [1]) for n in tensors.get("extra", ())]
    graph = helper.make_graph(
        [node],
        "other",
        [helper.make_tensor_value_info(name, kind, shape), *extra],
        [helper.make_tensor_value_info(out, kind, tensors.get("out_shape"))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    manifest = read_manifest(folder)
    (folder / "encode.onnx").write_bytes(model.SerializeToString())
    write_manifest(folder, manifest)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("backend", ["ort", "openvino"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "picture"}, "encode.onnx takes picture, its manifest states target"),
        ({"out": "latents"}, "encode.onnx gives latents, its manifest states target_latents"),
        ({"extra": ["more"]}, "encode.onnx takes more, target, its manifest states target"),
        (
            {"shape": [1, 3, 48, 48]},
            "takes 'target' as float32 1x3x48x48, its manifest states float32 1x3x24x24",
        ),
        ({"shape": [1, 3, 24]}, "takes 'target' as|cannot load"),
        ({"kind": 11}, "takes 'target' as float64 1x3x24x24, its manifest states float32"),
    ],
)
def test_a_graph_that_does_not_fit(
    bundle_folder: Path, tiny: Any, backend: str, change: dict[str, Any], message: str
) -> None:
    pytest.importorskip("onnxruntime" if backend == "ort" else backend)
    _other_graph(bundle_folder, tiny, **change)
    expected = (BadBundle, ValueError) if "cannot load" in message else BadBundle
    with pytest.raises(expected, match=message):
        Swapper.open(bundle_folder, backend=backend, threads=1)


@pytest.mark.parametrize("backend", ["ort", "openvino"])
def test_free_sizes_fit(bundle_folder: Path, tiny: Any, backend: str) -> None:
    pytest.importorskip("onnxruntime" if backend == "ort" else backend)
    _other_graph(bundle_folder, tiny, shape=["n", 3, "h", "w"])
    Swapper.open(bundle_folder, backend=backend, threads=1).close()


def test_a_stated_free_size_needs_a_free_graph(bundle_folder: Path) -> None:
    manifest = read_manifest(bundle_folder)
    detector = manifest.graphs["detector"]
    free = dataclasses.replace(detector.inputs[0], shape=(1, 3, "height", "width"))
    graphs = {**manifest.graphs, "detector": dataclasses.replace(detector, inputs=(free,))}
    write_manifest(bundle_folder, dataclasses.replace(manifest, graphs=graphs))
    with pytest.raises(BadBundle, match="takes 'input' as float32 1x3x64x64"):
        Swapper.open(bundle_folder, threads=1)


@pytest.mark.parametrize("backend", ["ort", "openvino"])
def test_damaged_graphs_with_right_hashes(bundle_folder: Path, tiny: Any, backend: str) -> None:
    """Any byte of a graph may be wrong, names of tensors among them."""
    pytest.importorskip("onnxruntime" if backend == "ort" else backend)
    generator = np.random.default_rng(0)
    manifest = read_manifest(bundle_folder)
    path = bundle_folder / "encode.onnx"
    whole = path.read_bytes()
    name = whole.index(b"target_latents")
    refused = 0
    for place in [name, name + 3, *generator.integers(0, len(whole), 10)]:
        damaged = bytearray(whole)
        damaged[place] = 0xF5
        path.write_bytes(damaged)
        write_manifest(bundle_folder, manifest)
        try:
            Swapper.open(bundle_folder, backend=backend, threads=1).close()
        except EdgeswapError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 2
