"""Choose the layers to quantize: leave out those that cost the most accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeswap_export.precision.qdq import QuantizableLayer
from edgeswap_export.precision.run import Feed, answers

Loss = Callable[[onnx.ModelProto], float]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which layers are quantized.

    Attributes:
        layers: the quantized layers.
        left_out: the others, the costliest first.
        loss: loss of the graph with exactly these layers quantized.
        alone: name of a layer -> loss with only it quantized; empty where all are quantized.
    """

    layers: tuple[QuantizableLayer, ...]
    left_out: tuple[QuantizableLayer, ...]
    loss: float
    alone: dict[str, float]


def choose_layers(
    layers: Sequence[QuantizableLayer],
    build: Callable[[Sequence[QuantizableLayer]], onnx.ModelProto],
    loss: Loss,
    budget: float,
    progress: Progress = lambda line: None,
) -> Choice:
    """Leave out as few layers as keep the loss within its budget, the costliest first.

    A layer's cost is the measured loss with only it quantized. Bisection finds how many of the
    costliest to leave out; the returned choice was itself measured.

    Args:
        layers: those that can be quantized.
        build: makes the graph with the given layers quantized.
        loss: measures the loss of a graph, 0 or more.
        budget: largest loss allowed.
        progress: called with a line when every layer has to be tried.
    """
    whole = loss(build(layers))
    if whole <= budget:
        return Choice(layers=tuple(layers), left_out=(), loss=whole, alone={})
    progress(f"quantizing everything costs {whole:.3f}, allowed is {budget:.3f}: trying each layer")
    alone = {layer.node.name: loss(build([layer])) for layer in layers}
    ranked = sorted(layers, key=lambda layer: -alone[layer.node.name])
    low, high = 0, len(ranked)  # leaving out `low` layers is too few, `high` is enough
    losses = {high: 0.0}
    while high - low > 1:
        middle = (low + high) // 2
        losses[middle] = loss(build(_in_order(layers, ranked[middle:])))
        low, high = (low, middle) if losses[middle] <= budget else (middle, high)
    return Choice(
        layers=tuple(_in_order(layers, ranked[high:])),
        left_out=tuple(ranked[:high]),
        loss=losses[high],
        alone=alone,
    )


def relative_error(
    model: onnx.ModelProto,
    feeds: list[Feed],
    expected: list[dict[str, NDArray[np.float32]]],
    level: str,
) -> float:
    """Measure the root mean square error, in units of the reference's standard deviation.

    Args:
        model: the graph to measure.
        feeds: its inputs.
        expected: the right outputs for each feed.
        level: graph optimization to run it at.

    Returns:
        the largest error over the graph's outputs.
    """
    found = answers(model, feeds, level)
    errors = []
    for name in expected[0]:
        wrong = np.concatenate(
            [(f[name] - e[name]).ravel() for f, e in zip(found, expected, strict=True)]
        )
        right = np.concatenate([e[name].ravel() for e in expected])
        spread = max(float(right.std(dtype=np.float64)), 1e-12)
        errors.append(float(np.sqrt(np.square(wrong, dtype=np.float64).mean())) / spread)
    return max(errors)


def _in_order(
    layers: Sequence[QuantizableLayer], chosen: Sequence[QuantizableLayer]
) -> list[QuantizableLayer]:
    names = {layer.node.name for layer in chosen}
    return [layer for layer in layers if layer.node.name in names]
