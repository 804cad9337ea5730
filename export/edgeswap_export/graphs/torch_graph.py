"""Hold one graph before it is written: a torch module or an ONNX file, with an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

AXES: dict[int, tuple[str, ...]] = {
    1: ("batch",),
    2: ("batch", "channel"),
    3: ("batch", "token", "channel"),
    4: ("batch", "channel", "height", "width"),
}
"""Number of a tensor's axes -> their names."""


def axes_of(shape: tuple[object, ...]) -> tuple[str, ...]:
    """Name the axes of a tensor."""
    named = AXES.get(len(shape))
    return named or ("batch", *(f"axis{i}" for i in range(1, len(shape))))


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchGraph:
    """One graph before it is written, with an example.

    Attributes:
        module: takes the inputs in order, returns a tuple of the outputs in order.
        inputs: name -> a realistic example.
        outputs: name -> torch's output for the example.
        roles: name of an input -> what fills it, see `edgeswap_runtime.bundle.roles`.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGraph:
    """A graph of other people, taken as it is.

    Attributes:
        path: of the ONNX file.
        inputs: name -> its shape as the file states it, a name where a size is free.
        outputs: name -> the same.
        roles: name of an input -> what fills it.
    """

    path: Path
    inputs: dict[str, tuple[int | str, ...]]
    outputs: dict[str, tuple[int | str, ...]]
    roles: Mapping[str, str]


@torch.no_grad()
def run_module(
    module: nn.Module,
    inputs: dict[str, Tensor],
    names: tuple[str, ...],
    roles: Mapping[str, str],
) -> TorchGraph:
    """Make a graph of a module by running it on an example.

    Args:
        module: takes the inputs in order, returns a tuple.
        inputs: name -> example.
        names: of the outputs.
        roles: name of an input -> what fills it.
    """
    outputs = module.eval()(*inputs.values())
    named = dict(zip(names, outputs, strict=True))
    return TorchGraph(module=module, inputs=inputs, outputs=named, roles=roles)


def batched(graph: TorchGraph, count: int) -> TorchGraph:
    """Return the graph with a batch as example: its example, repeated `count` times."""
    inputs = {
        name: value.repeat(count, *[1] * (value.ndim - 1)) for name, value in graph.inputs.items()
    }
    return run_module(graph.module, inputs, tuple(graph.outputs), graph.roles)
