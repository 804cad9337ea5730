"""Find the first layer where two versions of a graph differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch.export.graph_signature import InputKind

from edgeswap_export.graphs.to_onnx import torch_program
from edgeswap_export.graphs.torch_graph import TorchGraph
from edgeswap_export.graphs.values import producers
from edgeswap_export.precision.run import Feed, look_inside

Values = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first layer whose result is wrong although its inputs are right.

    Attributes:
        node: name of the node in the ONNX file.
        op_type: its operator.
        error: root mean square difference in units of the reference's standard deviation.
    """

    node: str
    op_type: str
    error: float

    def __str__(self) -> str:
        return (
            f"the first layer that differs is '{self.node}' ({self.op_type}, by {self.error:.1e})"
        )


def first_divergence(
    model: onnx.ModelProto,
    feed: Feed,
    reference: Values,
    tolerance: float,
    level: str = "none",
    written: onnx.ModelProto | None = None,
) -> Divergence | None:
    """Compare the values inside a graph with a reference, in the graph's order.

    Args:
        model: the graph to check.
        feed: its inputs.
        reference: name of a value -> the right value; names that the graph lacks are ignored.
        tolerance: root mean square difference in units of the reference's standard deviation.
        level: graph optimization to run `model` at.
        written: the graph whose layers are named, where `model` is an emulation of it.

    Returns:
        the first layer whose value is above the tolerance or not finite; None if there is none.
    """
    makers = producers(model if written is None else written)
    wrong: dict[str, float] = {}

    def visit(name: str, value: NDArray[np.float32]) -> None:
        expected = reference.get(name)
        if expected is None or name not in makers or expected.shape != value.shape:
            return
        error = _error(value, expected)
        if not error <= tolerance:
            wrong[name] = error

    look_inside(model, [feed], visit, level)
    for name, node in makers.items():
        if name in wrong:
            return Divergence(node=node.name, op_type=node.op_type, error=wrong[name])
    return None


def onnx_values(model: onnx.ModelProto, feed: Feed) -> dict[str, NDArray[np.float32]]:
    """Return every float32 value of a graph, as the reference for its conversions."""
    found: dict[str, NDArray[np.float32]] = {}
    look_inside(model, [feed], lambda name, value: found.update({name: value.copy()}))
    return found


def torch_values(name: str, graph: TorchGraph) -> dict[str, NDArray[np.float32]]:
    """Return the values inside a torch module, under their names in the ONNX graph.

    Most have the same name in the traced program and in the file. Those that the optimizer has
    fused are missing.
    """
    program = torch_program(name, graph.module, graph.inputs, tuple(graph.outputs)).exported_program
    waiting = iter(graph.inputs.values())
    arguments = []
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            arguments.append(next(waiting))
        elif spec.kind is InputKind.CONSTANT_TENSOR:
            arguments.append(program.constants[spec.target])
        else:
            stored = program.state_dict if spec.target in program.state_dict else program.constants
            arguments.append(stored[spec.target])
    recorder = _Recorder(program.graph_module)
    with torch.no_grad():
        recorder.run(*arguments)
    values = recorder.values
    values.update({key: value.numpy() for key, value in graph.outputs.items()})
    return values


class _Recorder(torch.fx.Interpreter):  # type: ignore[misc,unused-ignore]
    """Run a traced program and keep each float32 result."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.values: dict[str, NDArray[np.float32]] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor) and result.dtype == torch.float32:
            self.values[n.name] = result.detach().numpy()
        return result


def _error(value: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    difference = value.astype(np.float64) - expected.astype(np.float64)
    spread = max(float(expected.std(dtype=np.float64)), 1e-12)
    return float(np.sqrt(np.square(difference).mean())) / spread
