"""Which layers must stay float32 when the others become float16 or bfloat16."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

FP16_MAX = 65504.0
HEADROOM = 4.0
"""Data that was not tried may be this much larger than the largest that was."""

NORMS = ("InstanceNormalization", "LayerNormalization", "GroupNormalization", "LpNormalization",
         "RMSNormalization")  # fmt: skip
SOFTMAX = ("Softmax", "LogSoftmax")


def overflowing(model: onnx.ModelProto, largest: Mapping[str, float]) -> list[str]:
    """The nodes that float16 cannot hold, in the graph's order.

    A norm sums squares, so it overflows from the square root of the largest number on; every
    other operator from the largest number on.

    Args:
        model: a float32 graph.
        largest: value name -> largest magnitude over real inputs, from `_run.largest`.
    """
    limit = FP16_MAX / HEADROOM
    names = []
    for node in model.graph.node:
        peak = max((largest.get(name, 0.0) for name in (*node.input, *node.output)), default=0.0)
        squared = node.op_type in NORMS or _squares(node)
        reached = max(largest.get(node.input[0], 0.0) ** 2, peak) if squared else peak
        if not reached <= limit:  # also when it is not a number
            names.append(node.name)
    return names


def sensitive_to_rounding(model: onnx.ModelProto) -> list[str]:
    """Norms and softmaxes, which bfloat16's 8 bits would spoil: they subtract means, or normalize.

    The same operators stay float32 under torch's autocast.
    """
    return [node.name for node in model.graph.node if node.op_type in (*NORMS, *SOFTMAX)]


def _squares(node: onnx.NodeProto) -> bool:
    """A norm written out begins with ReduceSumSquare, ReduceL2, or Mul(x, x) or Pow."""
    if node.op_type in ("ReduceSumSquare", "ReduceL2"):
        return True
    return node.op_type == "Mul" and len(node.input) == 2 and node.input[0] == node.input[1]
