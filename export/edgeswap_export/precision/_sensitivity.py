"""Choose the layers to quantize: leave out those that cost the most accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
        alone: name of a layer -> its cost; empty where all are quantized.
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
    errors: Callable[[], Mapping[str, float]] | None = None,
) -> Choice:
    """Leave out as few layers as keep the loss within its budget, the costliest first.

    A layer's cost is the measured loss with only it quantized, and bisection finds how many of the
    costliest to leave out. Where that takes too many runs, the cost is the error of the layer's own
    result, and the loss of several predicts how many. The returned choice was itself measured.

    Args:
        layers: those that can be quantized.
        build: makes the graph with the given layers quantized.
        loss: measures the loss of a graph, 0 or more.
        budget: largest loss allowed.
        progress: called with a line when layers have to be left out.
        errors: measures name of a layer -> error of its own result, for large graphs; None takes
            the measured losses.
    """
    whole = loss(build(layers))
    if whole <= budget:
        return Choice(layers=tuple(layers), left_out=(), loss=whole, alone={})
    how = "trying each layer" if errors is None else "measuring each layer's own error"
    progress(f"quantizing everything costs {whole:.3f}, allowed is {budget:.3f}: {how}")
    if errors is None:
        alone = {layer.node.name: loss(build([layer])) for layer in layers}
    else:
        alone = dict(errors())
    ranked = sorted(layers, key=lambda layer: -alone[layer.node.name])

    def loss_without(count: int) -> float:
        return loss(build(_in_order(layers, ranked[count:])))

    if errors is None:
        count, reached = _bisect(len(ranked), loss_without, budget)
    else:
        costs = [alone[layer.node.name] for layer in ranked]
        count, reached = _predict(costs, loss_without, budget, whole)
    return Choice(
        layers=tuple(_in_order(layers, ranked[count:])),
        left_out=tuple(ranked[:count]),
        loss=reached,
        alone=alone,
    )


def _bisect(most: int, loss_without: Callable[[int], float], budget: float) -> tuple[int, float]:
    """Find how few to leave out of `most`, and the loss of that."""
    low, high = 0, most  # leaving out `low` layers is too few, `high` is enough
    losses = {high: 0.0}
    while high - low > 1:
        middle = (low + high) // 2
        losses[middle] = loss_without(middle)
        low, high = (low, middle) if losses[middle] <= budget else (middle, high)
    return high, losses[high]


def _predict(
    costs: Sequence[float], loss_without: Callable[[int], float], budget: float, whole: float
) -> tuple[int, float]:
    """Find how many to leave out by few measurements, and the loss of that.

    Errors of layers are independent: the loss of some is as the root of the sum of their squares.

    Args:
        costs: of each layer, descending.
        loss_without: measures the loss without so many of the first.
        budget: largest loss allowed.
        whole: loss of all layers, above the budget.
    """
    kept = np.sqrt(np.append(np.cumsum(np.square(costs)[::-1])[::-1], 0.0))
    count, measured = 0, whole
    while count < len(costs):
        scale = measured / max(float(kept[count]), 1e-12)
        enough = np.flatnonzero(scale * kept <= budget)
        # At least an eighth of the rest: the prediction was too good once already.
        least = count + 1 if count == 0 else count + max((len(costs) - count) // 8, 1)
        count = min(max(int(enough[0]), least), len(costs))
        measured = loss_without(count) if count < len(costs) else 0.0
        if measured <= budget:
            break
    return count, measured


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
