"""Graphs of another family joined to one: a recognizer, a constant, a mask, alpha, two steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.graphs.joined.fuse import swap_graph
from edgeswap_export.graphs.joined.unroll import SEED
from edgeswap_export.graphs.role_names import value_names
from edgeswap_export.triton import TritonConfig, triton
from edgeswap_runtime import Bundle, Swapper
from edgeswap_runtime.bundle.manifest import (
    CropSpec,
    Graph,
    GraphInput,
    Manifest,
    Mask,
    Schedule,
    ScheduleRow,
    Tensor,
    write_manifest,
)
from edgeswap_runtime.faces.align import TEMPLATE_96
from edgeswap_runtime.faces.crops import crops_of_aligned, to_tensor

SIDE, FACE, LATENT = 24, 16, (3, 6, 6)
TEMPLATE = tuple((x / 4, y / 4) for x, y in TEMPLATE_96.tolist())
SMALL = tuple((x / 6, y / 6) for x, y in TEMPLATE_96.tolist())
CROPS = {
    "model": CropSpec(size_px=SIDE, landmarks_px=TEMPLATE),
    "face": CropSpec(size_px=FACE, landmarks_px=SMALL, mean=(0,) * 3, std=(1,) * 3, color="BGR"),
}
NODES: dict[str, list[tuple[str, list[str], list[str], dict[str, Any]]]] = {
    # Of opset 11, where ReduceMean takes its axes as an attribute.
    "recognizer": [("ReduceMean", ["data"], ["out"], {"axes": [2, 3], "keepdims": 0})],
    "project": [("Mul", ["e", "e"], ["square"], {}), ("Add", ["square", "add"], ["out"], {})],
    "encode": [
        ("AveragePool", ["y"], ["target_latents"], {"kernel_shape": [4, 4], "strides": [4, 4]}),
        ("ReduceMean", ["target_latents"], ["gray"], {"axes": [1], "keepdims": 1}),
        ("Sigmoid", ["gray"], ["latent_mask"], {}),
    ],
    "denoise": [
        ("Reshape", ["tokens", "wide"], ["t"], {}),
        ("Mul", ["x", "t"], ["xt"], {}),
        ("Mul", ["xt", "half"], ["scaled"], {}),
        ("Add", ["scaled", "t"], ["output"], {}),
    ],
    "decode": [
        ("Resize", ["z", "", "scales"], ["large"], {"mode": "nearest"}),
        ("Mul", ["large", "half"], ["crop"], {}),
        ("ReduceMax", ["y"], ["brightest"], {"axes": [1], "keepdims": 1}),
        ("Sigmoid", ["brightest"], ["alpha"], {}),
    ],
}
STORED = {
    "denoise": {"half": np.float32(0.5), "wide": np.array([-1, 3, 1, 1], np.int64)},
    "decode": {"half": np.float32(0.5), "scales": np.array([1, 1, 4, 4], np.float32)},
}
ROW = ScheduleRow(timestep=9.0, sample=0.4, output=0.5, noise=0.1)
SCHEDULES = {
    "plain": Schedule(sampler="a", steps=1, initial_noise_scale=1.0, rows=(ROW,)),
    "repaint": Schedule(
        sampler="b",
        steps=2,
        initial_noise_scale=0.6,
        start_signal=0.8,
        rows=(
            replace(ROW, history_output=0.3, blend_signal=0.9, blend_noise=0.4),
            replace(ROW, timestep=1.0, history=0.2, noise=0.0, blend_signal=1.0),
        ),
    ),
}


def manifest(*, free: bool, default: str) -> Manifest:
    """What the bundle states; with a free batch or one of one."""

    def tensor(name: str, *shape: int) -> dict[str, Any]:
        sizes = ("batch" if free else 1, *shape)
        axes = ("batch", "channel", "height", "width")[: len(sizes)]
        return {"name": name, "dtype": "float32", "shape": sizes, "axes": axes}

    def graph(name: str, inputs: dict[str, dict[str, Any]], *outputs: dict[str, Any]) -> Graph:
        return Graph(
            file=f"{name}.onnx",
            precision="fp32",
            inputs=tuple(GraphInput(role=role, **fields) for role, fields in inputs.items()),
            outputs=tuple(Tensor(**fields) for fields in outputs),
            dynamic_axes={"batch": (1, 2, 4)} if free else {},
        )

    picture, alpha = (3, SIDE, SIDE), (1, SIDE, SIDE)
    add = {**tensor("add", 3), "shape": (1, 3)}
    return Manifest(
        name="other",
        made_with={},
        crops=CROPS,
        mask=Mask(center_px=(12, 12), radii_px=(9, 9), exponent=2, feather_px=2),
        graphs={
            "recognizer": graph(
                "recognizer", {"crop:face/source": tensor("data", 3, FACE, FACE)}, tensor("out", 3)
            ),
            "project": graph(
                "project",
                {"output:recognizer/out": tensor("e", 3), "constant:add.npy": add},
                tensor("out", 3),
            ),
            "encode": graph(
                "encode",
                {"crop:model/target": tensor("y", *picture)},
                tensor("target_latents", *LATENT),
                tensor("latent_mask", 1, 6, 6),
            ),
            "denoise": graph(
                "denoise",
                {
                    "sample": tensor("x", *LATENT),
                    "timestep": tensor("time"),
                    "output:project/out": tensor("tokens", 3),
                },
                tensor("output", *LATENT),
            ),
            "decode": graph(
                "decode",
                {"sample": tensor("z", *LATENT), "crop:model/target": tensor("y", *picture)},
                tensor("crop", *picture),
                tensor("alpha", *alpha),
            ),
        },
        schedules=SCHEDULES,
        default_schedule=default,
    )


def model(name: str, graph: Graph) -> onnx.ModelProto:
    def value(tensor: Tensor) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, list(tensor.shape))

    nodes = [helper.make_node(kind, i, o, **a) for kind, i, o, a in NODES[name]]
    body = helper.make_graph(
        nodes,
        name,
        [value(t) for t in graph.inputs],
        [value(t) for t in graph.outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in STORED.get(name, {}).items()],
    )
    opset = helper.make_opsetid("", 11 if name == "recognizer" else 17)
    made = helper.make_model(body, opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(made)
    return made


@pytest.fixture(params=["plain", "repaint"])
def schedule(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bundle(tmp_path: Path, schedule: str) -> Bundle:
    return write(tmp_path / "bundle", free=False, default=schedule)


def write(folder: Path, *, free: bool, default: str) -> Bundle:
    folder.mkdir()
    stated = manifest(free=free, default=default)
    for name, graph in stated.graphs.items():
        onnx.save(model(name, graph), folder / graph.file)
    np.save(folder / "add.npy", np.array([[0.1, -0.2, 0.3]], np.float32))
    write_manifest(folder, stated)
    return Bundle.open(folder)


def pictures(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)


def fixed(bundle: Bundle) -> dict[str, np.ndarray]:
    constant = np.load(bundle.path / "add.npy")
    return {"constant:add.npy": constant, "guidance": np.ones(1, np.float32)}


def crop_tensors(target: np.ndarray, source: np.ndarray) -> dict[str, np.ndarray]:
    face = crops_of_aligned(source, CROPS, ["face"]).crops["face"]
    return {
        "target": to_tensor(target, CROPS["model"]),
        "source_face": to_tensor(face, CROPS["face"]),
    }


def runtime_swap(bundle: Bundle, target: np.ndarray, source: np.ndarray) -> np.ndarray:
    with Swapper.open(bundle, threads=1, seed=SEED) as swapper:
        return swapper.swap_crop(target, swapper.identity_of_crops([source]))


def to_bytes(crop: np.ndarray) -> np.ndarray:
    return np.rint((crop.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255)


def test_one_graph_equals_the_runtime(bundle: Bundle, schedule: str) -> None:
    stated = bundle.manifest
    models = {name: onnx.load(bundle.path / g.file) for name, g in stated.graphs.items()}
    whole = swap_graph(models, stated.graphs, SCHEDULES[schedule], fixed(bundle), {"a": 1})
    assert {v.name for v in whole.graph.input} == {"target", "source_face"}
    assert [v.name for v in whole.graph.output] == ["crop", "alpha"]
    assert [(entry.domain, entry.version) for entry in whole.opset_import] == [("", 17)]
    target, source = pictures(1), pictures(2)
    session = ort.InferenceSession(whole.SerializeToString())
    crop, alpha = session.run(["crop", "alpha"], crop_tensors(target, source))
    expected = runtime_swap(bundle, target, source)
    assert np.abs(to_bytes(crop[0]) - expected).max() <= 1 and expected.std() > 5
    brightest = to_tensor(target, CROPS["model"]).max(1, keepdims=True)
    np.testing.assert_allclose(alpha, 1 / (1 + np.exp(-brightest)), atol=1e-5)


def test_a_node_with_a_graph_of_its_own_cannot_be_joined(bundle: Bundle) -> None:
    stated = bundle.manifest
    models = {name: onnx.load(bundle.path / g.file) for name, g in stated.graphs.items()}
    branch = helper.make_graph([], "branch", [], [])
    models["project"].graph.node[0].attribute.append(helper.make_attribute("body", branch))
    with pytest.raises(UnsupportedExport, match="graph 'project' has a node Mul with a graph of"):
        swap_graph(models, stated.graphs, SCHEDULES["plain"], fixed(bundle), {})


def test_names_are_told_apart(bundle: Bundle) -> None:
    names = value_names(bundle.manifest.graphs)
    assert names["output:recognizer/out"] == "recognizer_out"
    assert names["output:project/out"] == "project_out"
    assert names["output:encode/target_latents"] == "target_latents"
    assert names["crop:face/source"] == "source_face"
    assert len(set(names.values())) == len(names)


def test_triton_serves_it_in_batches(tmp_path: Path, schedule: str) -> None:
    protobufs = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    bundle = write(tmp_path / "free", free=True, default=schedule)
    repository = triton(bundle.path, TritonConfig(), tmp_path / "models")

    def config(name: str) -> Any:
        text = (repository / name / "config.pbtxt").read_text()
        return text_format.Parse(text, protobufs.ModelConfig())

    targets, sources = [pictures(n) for n in (1, 2, 3)], [pictures(n) for n in (4, 5, 6)]
    crops = [crop_tensors(t, s) for t, s in zip(targets, sources, strict=True)]
    values = {name: np.concatenate([c[name] for c in crops]) for name in crops[0]}
    for ensemble in ("swap", "swap_known"):
        assert {tensor.name for tensor in config(ensemble).input} <= set(values)
        for step in config(ensemble).ensemble_scheduling.step:
            path = repository / step.model_name / "1" / "model.onnx"
            feed = {key: values[name] for key, name in step.input_map.items()}
            assert set(feed) == {tensor.name for tensor in config(step.model_name).input}
            found = ort.InferenceSession(path).run(list(step.output_map), feed)
            outputs = step.output_map.values()
            values |= dict(zip(outputs, found, strict=True))
        for crop, target, source in zip(values["crop"], targets, sources, strict=True):
            expected = runtime_swap(bundle, target, source)
            assert np.abs(to_bytes(crop) - expected).max() <= 1
    assert "project_out" in {tensor.name for tensor in config("swap_known").input}


def test_a_recognizer_of_one_picture_cannot_be_served(tmp_path: Path) -> None:
    bundle = write(tmp_path / "fixed", free=False, default="plain")
    with pytest.raises(UnsupportedExport, match=r"fixed batch \(decode, .* recognizer"):
        triton(bundle.path, TritonConfig(), tmp_path / "models")
