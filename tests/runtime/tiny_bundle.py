"""A bundle small enough to be made in every test, whose swap is exactly known.

Crops are 24 px, latents their 6 x 6 blocks (lossless), and the denoiser answers with the source's
latents: with a schedule row that keeps only the output, the swapped crop is the source's crop.
The detector takes 64 x 64 and sees one face, always at the same place, unless the picture is black.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_runtime.bundle.manifest import (
    CropSpec,
    Graph,
    GraphInput,
    License,
    Manifest,
    Mask,
    Schedule,
    ScheduleRow,
    Tensor,
    write_manifest,
)
from edgeswap_runtime.faces.align import TEMPLATE_96

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

SIDE = 24
BLOCK = 6
LATENT = (1, 3 * BLOCK * BLOCK, SIDE // BLOCK, SIDE // BLOCK)
TOKENS = (1, LATENT[2] * LATENT[3], LATENT[1])
VECTOR = (1, LATENT[1])
CANVAS = 64
FACE_BOX = (12.0, 10.0, 44.0, 52.0)
"""Where the detector sees its face: detector input pixels, corners at integers."""
FACE_LANDMARKS = np.array([[20.0, 24.0], [36.0, 25.0], [28.0, 33.0], [22.0, 42.0], [34.0, 43.0]])
SCORE = 0.95
TEMPLATE = TEMPLATE_96 / 4
MODEL = CropSpec(size_px=SIDE, landmarks_px=tuple((x, y) for x, y in TEMPLATE.tolist()))
ROLES = {
    "input": "picture",
    "source": "crop:model/source",
    "target": "crop:model/target",
    "target_latents": "output:encode/target_latents",
    **{name: f"output:identity/{name}" for name in ("tokens", "vector", "source_latents")},
    **{name: name for name in ("sample", "timestep", "guidance")},
}
"""Name of an input -> its role, in the bundle as it is."""
MASK = Mask(center_px=(11.5, 11.5), radii_px=(9.0, 10.0), exponent=2.5, feather_px=3.0)

_AXES = ("batch", "channel", "height", "width")
_IMAGE = (1, 3, SIDE, SIDE)


def detector_constants(
    faces: tuple[tuple[tuple[float, ...], NDArray[Any], float], ...] = (
        (FACE_BOX, FACE_LANDMARKS, SCORE),
    ),
    canvas: tuple[int, int] = (CANVAS, CANVAS),
) -> Arrays:
    """The detector's outputs that mean these (box, landmarks, score), in its input's pixels."""
    outputs: Arrays = {}
    for stride in (8, 16, 32):
        cells = (canvas[0] // stride) * (canvas[1] // stride)
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{kind}_{stride}"] = np.zeros((1, cells, width), np.float32)
    stride = 8
    for (left, top, right, bottom), landmarks, score in faces:
        center = np.array([(left + right) / 2, (top + bottom) / 2]) / stride
        anchor = np.floor(center)
        cell = int(anchor[1]) * (canvas[1] // stride) + int(anchor[0])
        outputs[f"cls_{stride}"][0, cell] = score
        outputs[f"obj_{stride}"][0, cell] = score
        size = np.log(np.array([right - left, bottom - top]) / stride)
        outputs[f"bbox_{stride}"][0, cell] = [*(center - anchor), *size]
        outputs[f"kps_{stride}"][0, cell] = (landmarks / stride - anchor).ravel()
    return outputs


def to_blocks(picture: NDArray[Any]) -> NDArray[Any]:
    """What ONNX SpaceToDepth does."""
    n, c, h, w = picture.shape
    split = picture.reshape(n, c, h // BLOCK, BLOCK, w // BLOCK, BLOCK)
    return split.transpose(0, 3, 5, 1, 2, 4).reshape(n, -1, h // BLOCK, w // BLOCK)


def from_blocks(latents: NDArray[Any]) -> NDArray[Any]:
    """What ONNX DepthToSpace (DCR) does."""
    n, c, h, w = latents.shape
    split = latents.reshape(n, BLOCK, BLOCK, c // BLOCK**2, h, w)
    return split.transpose(0, 3, 4, 1, 5, 2).reshape(n, -1, h * BLOCK, w * BLOCK)


def fake_graphs() -> dict[str, Callable[[Arrays], Arrays]]:
    """The bundle's graphs as functions, for the fake backend."""

    def identity(inputs: Arrays) -> Arrays:
        latents = to_blocks(inputs["source"])
        tokens = latents.reshape(1, LATENT[1], -1).transpose(0, 2, 1)
        return {"source_latents": latents, "tokens": tokens, "vector": latents.mean((2, 3))}

    def detector(inputs: Arrays) -> Arrays:
        found = detector_constants()
        seen = float(inputs["input"].max() > 0)
        return {k: v * seen if k.startswith("cls") else v for k, v in found.items()}

    return {
        "encode": lambda inputs: {"target_latents": to_blocks(inputs["target"])},
        "identity": identity,
        "denoise": lambda inputs: {"output": inputs["source_latents"] + 0 * inputs["sample"]},
        "decode": lambda inputs: {"crop": from_blocks(inputs["sample"])},
        "detector": detector,
    }


def manifest(**changes: Any) -> Manifest:
    """The bundle's manifest, before its files are hashed."""
    detector_outputs = tuple(
        _tensor(name, array.shape, ("batch", "cell", "value"))
        for name, array in detector_constants().items()
    )
    latents = ("sample", "target_latents", "source_latents")
    condition = (
        _tensor("tokens", TOKENS, ("batch", "token", "feature")),
        _tensor("vector", VECTOR, ("batch", "feature")),
        _tensor("source_latents", LATENT),
    )
    graphs = {
        "encode": ((_tensor("target", _IMAGE),), (_tensor("target_latents", LATENT),)),
        "identity": ((_tensor("source", _IMAGE),), condition),
        "denoise": (
            (
                _tensor("timestep", (1,), ("batch",)),
                *condition[:2],
                *(_tensor(name, LATENT) for name in latents),
            ),
            (_tensor("output", LATENT),),
        ),
        "decode": (
            (_tensor("sample", LATENT), _tensor("target_latents", LATENT)),
            (_tensor("crop", _IMAGE),),
        ),
        "detector": ((_tensor("input", (1, 3, CANVAS, CANVAS)),), detector_outputs),
    }
    row = ScheduleRow(timestep=999.0, sample=0.0, output=1.0)
    keep = ScheduleRow(timestep=500.0, sample=1.0, output=0.0)
    fields: dict[str, Any] = {
        "name": "tiny",
        "made_with": {"edgeswap": "0"},
        "crops": {"model": MODEL},
        "mask": MASK,
        "graphs": {
            name: Graph(
                file=f"{name}.onnx",
                precision="fp32",
                inputs=tuple(with_role(tensor, ROLES[tensor.name]) for tensor in inputs),
                outputs=outputs,
            )
            for name, (inputs, outputs) in graphs.items()
        },
        "schedules": {
            "one": Schedule(sampler="ddim", steps=1, initial_noise_scale=1.0, rows=(row,)),
            "two": Schedule(sampler="ddim", steps=2, initial_noise_scale=1.0, rows=(row, keep)),
            "noise": Schedule(sampler="none", steps=3, initial_noise_scale=0.1, rows=(keep,)),
        },
        "default_schedule": "one",
        "licenses": (License(what="weights", license="CC0-1.0", origin="this test"),),
    }
    return Manifest(**(fields | changes))


def with_role(tensor: Tensor, role: str) -> GraphInput:
    """A tensor as an input that this role fills."""
    return GraphInput(
        name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, axes=tensor.axes, role=role
    )


def crop_graphs() -> dict[str, Graph]:
    """The manifest's graphs without the detector: a bundle for aligned crops only."""
    return {name: graph for name, graph in manifest().graphs.items() if name != "detector"}


def write_bundle(folder: Path, **changes: Any) -> Path:
    """Write the bundle as real ONNX files."""
    folder.mkdir(parents=True)
    stated = manifest(**changes)
    for name, model in onnx_models(stated).items():
        (folder / f"{name}.onnx").write_bytes(model)
    write_manifest(folder, stated)
    return folder


def onnx_models(stated: Manifest) -> dict[str, bytes]:
    """The same graphs as `fake_graphs`, as serialized ONNX."""
    from onnx import helper

    def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
        return helper.make_node(kind, inputs, outputs, **attributes)

    flat = [1, LATENT[1], TOKENS[1]]
    nodes = {
        "encode": [node("SpaceToDepth", ["target"], ["target_latents"], blocksize=BLOCK)],
        "identity": [
            node("SpaceToDepth", ["source"], ["source_latents"], blocksize=BLOCK),
            node("Constant", [], ["flat"], value_ints=flat),
            node("Reshape", ["source_latents", "flat"], ["columns"]),
            node("Transpose", ["columns"], ["tokens"], perm=[0, 2, 1]),
            node("ReduceMean", ["source_latents"], ["vector"], axes=[2, 3], keepdims=0),
        ],
        "denoise": [node("Identity", ["source_latents"], ["output"])],
        "decode": [node("DepthToSpace", ["sample"], ["crop"], blocksize=BLOCK, mode="DCR")],
        "detector": _detector_nodes(node),
    }
    return {name: _model(graph, nodes[name]) for name, graph in stated.graphs.items()}


def _detector_nodes(node: Callable[..., Any]) -> list[Any]:
    from onnx import numpy_helper

    nodes = [
        node("ReduceMax", ["input"], ["brightest"], keepdims=0),
        node("Sign", ["brightest"], ["seen"]),
    ]
    for name, array in detector_constants().items():
        nodes.append(node("Constant", [], [f"{name}_value"], value=numpy_helper.from_array(array)))
        if name.startswith("cls"):
            nodes.append(node("Mul", [f"{name}_value", "seen"], [name]))
        else:
            nodes.append(node("Identity", [f"{name}_value"], [name]))
    return nodes


def _model(graph: Graph, nodes: list[Any]) -> bytes:
    from onnx import TensorProto, checker, helper

    def value(tensor: Tensor) -> Any:
        return helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, list(tensor.shape))

    body = helper.make_graph(
        nodes, "tiny", [value(t) for t in graph.inputs], [value(t) for t in graph.outputs]
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _tensor(
    name: str, shape: tuple[int, ...], axes: tuple[str, ...] = _AXES, dtype: str = "float32"
) -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=tuple(shape), axes=axes)
