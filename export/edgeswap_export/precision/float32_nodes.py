"""Find the nodes that must stay float32 in a float16 or bfloat16 graph."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

FP16_MAX = 65504.0
HEADROOM = 4.0
"""How many times larger the values of other data may be than those observed."""

NORMS = ("InstanceNormalization", "LayerNormalization", "GroupNormalization", "LpNormalization",
         "RMSNormalization")  # fmt: skip
SOFTMAX = ("Softmax", "LogSoftmax")


def overflowing(model: onnx.ModelProto, largest: Mapping[str, float]) -> list[str]:
    """List the nodes whose values float16 cannot hold, in the graph's order.

    A norm sums squares: it overflows where an input exceeds the square root of the largest number.

    Args:
        model: a float32 graph.
        largest: name of a value -> largest magnitude over real inputs, from `run.largest`.
    """
    limit = FP16_MAX / HEADROOM
    names = []
    for node in model.graph.node:
        peak = max((largest.get(name, 0.0) for name in (*node.input, *node.output)), default=0.0)
        squared = node.op_type in NORMS or _squares(node)
        reached = max(largest.get(node.input[0], 0.0) ** 2, peak) if squared else peak
        if not reached <= limit:  # also for NaN
            names.append(node.name)
    return names


def sensitive_to_rounding(model: onnx.ModelProto) -> list[str]:
    """List the norms and softmaxes, which need more than the 8 bits of bfloat16.

    They stay float32 under torch's autocast too.
    """
    return [node.name for node in model.graph.node if node.op_type in (*NORMS, *SOFTMAX)]


def _squares(node: onnx.NodeProto) -> bool:
    """Whether a node squares its input, as a norm written in single operators does."""
    if node.op_type in ("ReduceSumSquare", "ReduceL2"):
        return True
    return node.op_type == "Mul" and len(node.input) == 2 and node.input[0] == node.input[1]
