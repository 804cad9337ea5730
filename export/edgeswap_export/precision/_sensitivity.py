"""Which layers a quantized graph can do without, found by what each of them costs."""

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
    """What was quantized and what not.

    Attributes:
        layers: the quantized ones.
        left_out: the others, the costliest first.
        loss: of the graph with exactly these quantized.
        alone: layer name -> loss with it alone quantized; empty where all could be.
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

    Each layer's cost is the measured loss with it alone quantized. How many of the costliest to
    leave out is found by bisection, and the choice returned was measured itself.

    Args:
        layers: that can be quantized.
        build: layers -> the graph with them quantized.
        loss: of a graph; 0 is none.
        budget: the largest loss allowed.
    """
    whole = loss(build(layers))
    if whole <= budget:
        return Choice(layers=tuple(layers), left_out=(), loss=whole, alone={})
    progress(f"quantizing everything costs {whole:.3f}, allowed is {budget:.3f}: trying each layer")
    alone = {layer.node.name: loss(build([layer])) for layer in layers}
    ranked = sorted(layers, key=lambda layer: -alone[layer.node.name])
    low, high = 0, len(ranked)  # leaving `low` out is too few, `high` is enough
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
    """The root mean square error over the feeds in units of the reference's spread.

    Of a graph with several outputs the largest counts.
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
