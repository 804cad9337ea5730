"""Convert a float32 graph to another precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx

from edgeswap_export.precision._emulate import emulated
from edgeswap_export.precision._local_errors import local_errors
from edgeswap_export.precision._lower import KINDS, lower, phase_nodes
from edgeswap_export.precision._sensitivity import Choice, choose_layers, relative_error
from edgeswap_export.precision.float32_nodes import overflowing, sensitive_to_rounding
from edgeswap_export.precision.observe import largest, observe
from edgeswap_export.precision.qdq import (
    QuantizableLayer,
    clips,
    observed_values,
    quantizable,
    quantize,
    raise_opset,
)
from edgeswap_export.precision.run import Feed, answers

OPSETS = {"bf16": 22}
"""Precision -> the least opset with its types; `qdq.GRIDS` has those of int8 and fp8."""

SAMPLES_PER_VALUE = 1 << 14
"""Samples of one value that are kept to choose where to clip it."""

LOSS_BUDGETS = (0.05, 0.025, 0.0125)
"""Root mean square error that quantization may add to a graph's output, in its standard deviations.

The first is 26 dB below the signal. The default model's own error is half a standard deviation of
the prediction, so that the sum is less than 0.1 dB larger. The next budget is tried when a whole
swap does not pass with the one before.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A graph in another precision.

    Attributes:
        model: what goes into the bundle.
        precision: a name in PRECISIONS.
        level: graph optimization at which ONNX Runtime's CPU runs it as written.
        low: element type whose rounding must be emulated on ONNX Runtime's CPU, see `emulation`;
            None where that runs `model` as written.
        opset: of that emulation; the file's may be newer than ONNX Runtime's CPU runs.
        float32_nodes: reason -> names of the nodes that stay float32 for it.
        loss: loss of quantization, as in LOSS_BUDGETS; None where nothing was quantized.
    """

    model: onnx.ModelProto
    precision: str
    level: str = "all"
    low: int | None = None
    opset: int = 0
    float32_nodes: dict[str, list[str]] = field(default_factory=dict)
    loss: float | None = None

    def emulation(self) -> onnx.ModelProto:
        """Return what ONNX Runtime's CPU runs to show `model`'s numbers: it, or a graph like it.

        The graph is made anew by each call: it is as large as a float32 one.
        """
        if self.low is None:
            return self.model
        return emulated(self.model, self.low, self.opset)

    def to_json(self) -> dict[str, Any]:
        """Return what the manifest says of the conversion."""
        return {
            "precision": self.precision,
            "float32_nodes": self.float32_nodes,
            "quantization_loss": self.loss,
        }


def allowed(precision: str, budget: float = LOSS_BUDGETS[0], guidance: float = 1.0) -> float:
    """Return the root mean square error that a graph may have, in the output's standard deviations.

    Rounding a number near 1 changes it by at most 2^-12 in float16 and 2^-9 in bfloat16. Some
    hundred independent roundings add up to ten times that, and a norm may double it. Quantization
    may have four times its budget, because other faces may be harder; the comparison of the whole
    swap limits the loss of quality. A layer with a wrong scale has an error of 1 and more.

    Guidance answers g times one evaluation less (g - 1) times another, so that independent
    roundings grow by the root of g² + (g - 1)². Measured on a U-Net of Paint by Example's form: 3.7
    times at g = 3.5 and 8.5 at g = 7.5, where this gives 4.3 and 9.9. A budget of quantization is
    one of the guided answer, and does not grow.

    Args:
        precision: a name in PRECISIONS.
        budget: the loss that quantization was allowed.
        guidance: scale of the guidance inside the graph; 1 is none.
    """
    rounding = {"fp32": 1e-5, "fp16": 20 * 2.0**-12, "bf16": 20 * 2.0**-9}
    if precision in rounding:
        return rounding[precision] * math.hypot(guidance, guidance - 1.0)
    return 4.0 * budget


def convert(
    model: onnx.ModelProto,
    to: str,
    feeds: list[Feed],
    progress: Callable[[str], None] = lambda line: None,
    budget: float = LOSS_BUDGETS[0],
    large: bool = False,
) -> Converted:
    """Convert a float32 graph; its inputs and outputs stay float32.

    Args:
        model: a float32 graph, all nodes named.
        to: a name in PRECISIONS.
        feeds: inputs from real swaps; at least one for fp16, int8 and fp8.
        progress: called with a line when the choice of layers takes longer.
        budget: largest loss of quantization, of LOSS_BUDGETS.
        large: whether a run takes so long that layers are not tried one by one.
    """
    if to == "fp32":
        return Converted(model=model, precision=to)
    if to in KINDS:
        return _lowered(model, to, feeds)
    return _quantized(model, to, feeds, progress, budget, large)


def _lowered(model: onnx.ModelProto, to: str, feeds: list[Feed]) -> Converted:
    float32_nodes = {"phase": sorted(phase_nodes(model))}
    if to == "fp16":
        float32_nodes["overflow"] = overflowing(model, largest(model, feeds))
    else:
        float32_nodes["rounding"] = sensitive_to_rounding(model)
    low = lower(model, to, [name for names in float32_nodes.values() for name in names])
    opset = next(entry.version for entry in low.opset_import if entry.domain == "")
    raise_opset(low, OPSETS.get(to, 0))
    float32_nodes = {reason: names for reason, names in float32_nodes.items() if names}
    return Converted(
        model=low,
        precision=to,
        level="none",
        low=KINDS[to][0],
        opset=opset,
        float32_nodes=float32_nodes,
    )


def _quantized(
    model: onnx.ModelProto,
    to: str,
    feeds: list[Feed],
    progress: Callable[[str], None],
    budget: float,
    large: bool,
) -> Converted:
    layers = quantizable(model, to)
    ranges = calibrated(model, feeds, layers, to)
    level = "all" if to == "int8" else "basic"
    expected = answers(model, feeds)

    def loss(candidate: onnx.ModelProto) -> float:
        return relative_error(candidate, feeds, expected, level)

    choice: Choice = choose_layers(
        layers,
        lambda some: quantize(model, to, ranges, some),
        loss,
        budget,
        progress,
        (lambda: local_errors(model, feeds, to, ranges, layers)) if large else None,
    )
    final = quantize(model, to, ranges, choice.layers)
    left_out = [layer.node.name for layer in choice.left_out]
    float32_nodes = {"quantization": left_out} if left_out else {}
    if to == "int8":
        return Converted(model=final, precision=to, float32_nodes=float32_nodes, loss=choice.loss)
    rest = _lowered(final, "fp16", feeds)
    return replace(
        rest, precision=to, float32_nodes={**float32_nodes, **rest.float32_nodes}, loss=choice.loss
    )


def calibrated(
    model: onnx.ModelProto, feeds: list[Feed], layers: Sequence[QuantizableLayer], to: str
) -> dict[str, float]:
    """Choose where to clip the values around layers.

    Args:
        model: a float32 graph.
        feeds: its inputs, at least one.
        layers: of `quantizable`.
        to: "int8" or "fp8".

    Returns:
        name of a value -> magnitude, as `quantize` takes it.
    """
    share = max(SAMPLES_PER_VALUE // len(feeds), 1)
    seen = observe(model, feeds, observed_values(layers), share)
    samples = {name: np.concatenate(one.samples) for name, one in seen.items()}
    return clips(samples, {name: one.peak for name, one in seen.items()}, to)
