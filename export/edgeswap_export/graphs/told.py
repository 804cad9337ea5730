"""Find the graphs, files and constants that a checkpoint's condition comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeswap_compress.checkpoint.conditioner import (
    ConstantPart,
    ProjectionPart,
    SourcePart,
    SwapConditioner,
)
from edgeswap_compress.conditioning.condition import Condition, Conditioner
from edgeswap_compress.conditioning.onnx_features import OnnxFeatures
from edgeswap_compress.conditioning.specs import PictureFeature
from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.graphs.torch_graph import FileGraph, TorchGraph, run_module
from edgeswap_runtime.bundle.roles import output_role

FLOAT32 = "tensor(float)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One part of the condition, and the denoiser's inputs that it comes by.

    Attributes:
        parts: of the condition, as torch computes it for the example.
        inputs: name of an input -> (role, example), in the order of `parts.named`.
    """

    parts: Condition
    inputs: dict[str, tuple[str, Tensor]]


@dataclass(slots=True, kw_only=True)
class ToldBy:
    """All parts of a condition.

    Attributes:
        parts: in order.
        torch: name of a graph -> the module to write.
        files: name of a graph -> the ONNX file to take.
        constants: name of a file -> what it holds.
    """

    parts: tuple[Told, ...] = ()
    torch: dict[str, TorchGraph] = field(default_factory=dict)
    files: dict[str, FileGraph] = field(default_factory=dict)
    constants: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, condition: Condition, role: Callable[[str], str]) -> None:
        """Add a part; an input's name is that of what it holds, or has the part's before it."""
        taken = {key for part in self.parts for key in part.inputs}
        inputs = {
            f"{name}_{key}" if key in taken else key: (role(key), value)
            for key, value in condition.named().items()
        }
        self.parts = (*self.parts, Told(parts=condition, inputs=inputs))


@torch.no_grad()
def told_by(conditioner: SwapConditioner, pictures: dict[str, Tensor]) -> ToldBy:
    """Find what a condition comes from.

    Args:
        conditioner: of the checkpoint.
        pictures: name -> (1, 3, R, R), an example of each that the conditions look at.

    Raises:
        UnsupportedExport: a plugin has no single torch module that could be written.
    """
    found = ToldBy()
    for spec, part in conditioner.parts:
        if isinstance(part, SourcePart):
            condition = part.condition(pictures)
            (module,) = part.graphs().values()
            _add_module(found, "identity", module, {"source": "model/source"}, pictures, condition)
        elif isinstance(part, ConstantPart):
            _add_constants(found, spec.kind, part.condition({}))
        elif isinstance(part, ProjectionPart):
            _add_projection(found, part, pictures)
        else:
            _add_plugin(found, getattr(spec, "entry", spec.kind), part, pictures)
    return found


def _add_module(
    found: ToldBy,
    name: str,
    module: Any,
    takes: dict[str, str],
    pictures: dict[str, Tensor],
    condition: Condition,
) -> None:
    """Add a module from pictures to a part of the condition."""
    inputs = {key: pictures[picture] for key, picture in takes.items()}
    roles = {key: f"crop:{picture}" for key, picture in takes.items()}
    graph = run_module(module, inputs, tuple(condition.named()), roles)
    found.torch[name] = graph
    found.add(name, condition.of_named(graph.outputs), lambda key: output_role(name, key))


def _add_constants(found: ToldBy, name: str, condition: Condition) -> None:
    files = {}
    for key, value in condition.named().items():
        file = f"{key}.npy"
        files[key] = f"{name}-{file}" if file in found.constants else file
        found.constants[files[key]] = value
    found.add(name, condition, lambda key: f"constant:{files[key]}")


def _add_projection(found: ToldBy, part: ProjectionPart, pictures: dict[str, Tensor]) -> None:
    """Add the ONNX files that are looked at, and the projection of what they say."""
    spec, inputs, roles = part.spec, dict[str, Tensor](), dict[str, str]()
    for feature, value in zip(spec.features, part.features(pictures), strict=True):
        if feature.graph not in found.files:
            found.files[feature.graph] = file_graph(part.run, feature)
        output = part.run.output(feature)
        name = feature.graph if feature.graph not in inputs else f"{feature.graph}_{output}"
        inputs[name] = value
        roles[name] = output_role(feature.graph, output)
    (module,) = (m for m in part.graphs().values() if isinstance(m, nn.Module))
    graph = run_module(module, inputs, (spec.gives,), roles)
    found.torch[spec.name] = graph
    condition = Condition.of(spec.gives, graph.outputs[spec.gives])
    found.add(spec.name, condition, lambda key: output_role(spec.name, key))


def _add_plugin(found: ToldBy, name: str, part: Conditioner, pictures: dict[str, Tensor]) -> None:
    graphs = part.graphs()
    modules = [graph for graph in graphs.values() if not isinstance(graph, Path)]
    if len(graphs) != 1 or len(modules) != 1:
        raise UnsupportedExport(
            f"the plugin '{name}' has graphs {sorted(graphs)}: expected one torch module, from its "
            "pictures in order to its parts of the condition in order"
        )
    takes = {crop.replace("/", "_"): crop for crop in part.crops}
    condition = part.condition(pictures)
    _add_module(found, name, modules[0], takes, pictures, condition)


def file_graph(run: OnnxFeatures, feature: PictureFeature) -> FileGraph:
    """Read the inputs and outputs of somebody else's ONNX file.

    Args:
        run: has the file.
        feature: which file, and which crop it looks at.

    Raises:
        UnsupportedExport: it takes or gives other numbers than float32.
    """
    path, (taken, given) = run.files[feature.file], run.ports(feature)
    for value in (*taken, *given):
        if value.type != FLOAT32:
            raise UnsupportedExport(
                f"{path}: {value.name} is {value.type}: expected {FLOAT32}, which the graphs of a "
                "bundle hand to one another"
            )
    inputs = {value.name: _sizes(value.shape) for value in taken}
    outputs = {value.name: _sizes(value.shape) for value in given}
    (name,) = inputs
    return FileGraph(
        path=path, inputs=inputs, outputs=outputs, roles={name: f"crop:{feature.picture}"}
    )


def _sizes(shape: list[Any]) -> tuple[int | str, ...]:
    """Sizes as a manifest states them: a name where one is free."""
    free = (f"free{index}" for index in range(len(shape)))
    return tuple(size if isinstance(size, int) else str(size or next(free)) for size in shape)
