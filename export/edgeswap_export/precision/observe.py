"""Measure the values inside a graph by operators of the graph itself: one run for each input.

Only the figures leave the graph. Reading the values instead takes many runs of a large graph, whose
values together take more memory than there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export.graphs.values import skeleton, value_types
from edgeswap_export.precision.run import Feed, open_session_of

REDUCTIONS = ("ReduceMax", "ReduceMin", "ReduceSum")
"""The sum is finite where all values are."""
SIZES = {"one": [1], "flat": [-1], "begin": [0], "end": [2**62]}
"""Name of a constant that the operators read -> its numbers."""


@dataclass(slots=True)
class Observed:
    """What was seen of one value over all inputs.

    Attributes:
        peak: largest magnitude; infinite where a number was not finite.
        samples: evenly spaced numbers of each run, float32.
    """

    peak: float = 0.0
    samples: list[NDArray[np.float32]] = field(default_factory=list)


def largest(model: onnx.ModelProto, feeds: list[Feed]) -> dict[str, float]:
    """Return name of a float32 value -> its largest magnitude; infinite if not finite.

    Args:
        model: in memory, of any size, of opset 18 or newer.
        feeds: its inputs.
    """
    return {name: seen.peak for name, seen in observe(model, feeds).items()}


def observe(
    model: onnx.ModelProto, feeds: list[Feed], names: Iterable[str] | None = None, samples: int = 0
) -> dict[str, Observed]:
    """Measure float32 values of a graph, its inputs among them.

    Args:
        model: in memory, of any size, of opset 18 or newer.
        feeds: its inputs.
        names: of the values; None for all that are float32.
        samples: numbers that are kept of each value and feed, evenly spaced; 0 for none.
    """
    types = value_types(model)
    wanted = None if names is None else set(names)
    inner = [
        name
        for node in model.graph.node
        for name in node.output
        if types.get(name) == TensorProto.FLOAT and (wanted is None or name in wanted)
    ]
    found: dict[str, Observed] = {}
    for feed in feeds:
        for name, value in feed.items():
            if wanted is None or name in wanted:
                flat = value.ravel()
                figures = [float(flat.max()), float(flat.min()), float(flat.sum())]
                step = max(flat.size // samples, 1) if samples else 0
                _see(found, name, figures, flat[::step].copy() if samples else None)
    session = open_session_of(_watched(model, set(inner), samples), model, "none")
    each = [f"{name}/{kind}" for name in inner for kind in _kinds(samples)]
    for feed in feeds:
        values = iter(session.run(each, dict(feed)) if each else ())
        for name in inner:
            figures = [float(next(values)) for _ in REDUCTIONS]
            _see(found, name, figures, next(values) if samples else None)
    return found


def _kinds(samples: int) -> tuple[str, ...]:
    return (*REDUCTIONS, "samples") if samples else REDUCTIONS


def _see(
    found: dict[str, Observed],
    name: str,
    figures: list[float],
    samples: NDArray[np.float32] | None,
) -> None:
    most, least, total = figures
    peak = max(abs(most), abs(least)) if np.isfinite(total) else float("inf")
    seen = found.setdefault(name, Observed())
    seen.peak = max(seen.peak, peak)
    if samples is not None:
        seen.samples.append(samples)


def _watched(model: onnx.ModelProto, names: set[str], samples: int) -> onnx.ModelProto:
    """Copy the graph without its weights; its outputs are the figures of the named values."""
    bare = skeleton(model)
    graph = bare.graph
    nodes = list(graph.node)
    del graph.node[:], graph.output[:]
    if samples:
        constants = {**SIZES, "share": [samples]}
        for name, numbers in constants.items():
            array = np.array(numbers, np.int64)
            graph.initializer.append(numpy_helper.from_array(array, f"observe/{name}"))
    for node in nodes:
        graph.node.append(node)
        for name in node.output:
            if name in names:
                graph.node.extend(_figures(name, samples))
                for kind in _kinds(samples):
                    output = f"{name}/{kind}"
                    graph.output.append(
                        helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
                    )
    return bare


def _figures(name: str, samples: int) -> list[onnx.NodeProto]:
    """Operators that measure a value, right after it: it need not be kept for them."""
    made = [
        helper.make_node(kind, [name], [f"{name}/{kind}"], name=f"{name}/{kind}", keepdims=0)
        for kind in REDUCTIONS
    ]
    if not samples:
        return made

    def node(kind: str, inputs: list[str], output: str) -> None:
        made.append(helper.make_node(kind, inputs, [output], name=output))

    size, step, flat = (f"{name}/{part}" for part in ("size", "step", "flat"))
    node("Size", [name], size)
    node("Div", [size, "observe/share"], f"{step}/fraction")
    node("Max", [f"{step}/fraction", "observe/one"], step)
    node("Reshape", [name, "observe/flat"], flat)
    bounds = ["observe/begin", "observe/end", "observe/begin", step]
    node("Slice", [flat, *bounds], f"{name}/samples")
    return made
