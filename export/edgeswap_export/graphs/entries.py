"""State a graph in a bundle's manifest: its file, its tensors, what fills its inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeswap_export.graphs.swap_graphs import SwapGraphs
from edgeswap_export.graphs.torch_graph import FileGraph, TorchGraph, axes_of
from edgeswap_runtime.bundle.manifest import Graph, GraphInput, Tensor

Batch = tuple[int, int, int] | None
"""Smallest, usual and largest batch; None for a fixed batch of one."""


def graph_entries(graphs: SwapGraphs, batch: Batch = None) -> dict[str, Graph]:
    """State all graphs of a swap, those that are written in float32.

    Args:
        graphs: with their examples.
        batch: of the graphs that are written.
    """
    written = {name: torch_entry(name, graph, batch) for name, graph in graphs.torch.items()}
    return {**written, **{name: file_entry(name, graph) for name, graph in graphs.files.items()}}


def fixed_arrays(graphs: SwapGraphs, guidance_scale: float) -> dict[str, NDArray[np.float32]]:
    """Give what no picture changes, by role: the constants and the guidance scale."""
    constants = {f"constant:{file}": value.numpy() for file, value in graphs.constants.items()}
    return {**constants, "guidance": np.array([guidance_scale], np.float32)}


def torch_entry(name: str, graph: TorchGraph, batch: Batch) -> Graph:
    """State a graph that is written from torch.

    Args:
        name: of the graph.
        graph: with its example, a batch of one.
        batch: as the graph is written.
    """

    def sizes(shape: tuple[int, ...]) -> tuple[int | str, ...]:
        return tuple(shape) if batch is None else ("batch", *shape[1:])

    shapes = {k: sizes(tuple(v.shape)) for k, v in graph.inputs.items()}
    given = {k: sizes(tuple(v.shape)) for k, v in graph.outputs.items()}
    return Graph(
        file=f"{name}.onnx",
        precision="fp32",
        inputs=_inputs(shapes, graph.roles),
        outputs=_outputs(given),
        dynamic_axes={} if batch is None else {"batch": batch},
    )


def file_entry(name: str, graph: FileGraph) -> Graph:
    """State a graph of other people, in the precision that it has."""
    return Graph(
        file=f"{name}.onnx",
        precision="as given",
        inputs=_inputs(graph.inputs, graph.roles),
        outputs=_outputs(graph.outputs),
    )


def _inputs(
    shapes: Mapping[str, tuple[int | str, ...]], roles: Mapping[str, str]
) -> tuple[GraphInput, ...]:
    return tuple(
        GraphInput(name=k, dtype="float32", shape=shape, axes=axes_of(shape), role=roles[k])
        for k, shape in shapes.items()
    )


def _outputs(shapes: Mapping[str, tuple[int | str, ...]]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=k, dtype="float32", shape=shape, axes=axes_of(shape))
        for k, shape in shapes.items()
    )
