"""Measure what quantizing costs at each layer itself: all layers in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import TensorProto, helper

from edgeswap_export.graphs.values import skeleton
from edgeswap_export.precision.qdq import GRIDS, QuantizableLayer, Quantizing
from edgeswap_export.precision.run import Feed, open_session_of

POWERS = ("wrong", "right")
"""Sum of squares of a result's error, and of the result."""


def local_errors(
    model: onnx.ModelProto,
    feeds: list[Feed],
    to: str,
    ranges: Mapping[str, float],
    layers: Sequence[QuantizableLayer],
) -> dict[str, float]:
    """Return name of a layer -> root mean square error of its result, in units of the result's.

    Each layer is computed twice on the same input, once quantized, and nothing reads the second
    result.

    Args:
        model: a float32 graph.
        feeds: its inputs, at least one.
        to: "int8" or "fp8".
        ranges: as `quantize` takes them.
        layers: of `quantizable`.
    """
    session = open_session_of(_Trials(model, to, ranges, layers).graph(), model, "none")
    outputs = [f"{layer.result}/{power}" for layer in layers for power in POWERS]
    sums = [0.0] * len(outputs)
    for feed in feeds:
        found = session.run(outputs, dict(feed))
        sums = [total + float(one) for total, one in zip(sums, found, strict=True)]
    return {
        layer.node.name: (wrong / max(right, 1e-12)) ** 0.5
        for layer, wrong, right in zip(layers, sums[::2], sums[1::2], strict=True)
    }


class _Trials(Quantizing):
    """The graph as it is, with a quantized copy beside each layer."""

    def __init__(
        self,
        model: onnx.ModelProto,
        to: str,
        ranges: Mapping[str, float],
        layers: Sequence[QuantizableLayer],
    ) -> None:
        super().__init__(model, GRIDS[to], ranges, layers)
        self.tried = {layer.result: layer for layer in layers}

    def graph(self) -> onnx.ModelProto:
        """Build it; its outputs are the POWERS of each layer's result, its weights are apart."""
        for original in self.model.graph.node:
            self.nodes.append(original)
            for name in original.output:
                if name in self.tried:
                    self._try(self.tried[name], original)
        bare = skeleton(self.model)
        graph = bare.graph
        del graph.node[:], graph.output[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(self.added.values())
        for result in self.tried:
            for power in POWERS:
                name = f"{result}/{power}"
                graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        for entry in bare.opset_import:
            if entry.domain == "":
                entry.version = max(entry.version, self.grid.opset)
        return bare

    def _try(self, layer: QuantizableLayer, last: onnx.NodeProto) -> None:
        """Compute a layer again, quantized, and compare.

        Args:
            layer: to compute.
            last: the operator that gives its result: the layer's own, or the bias after it.
        """
        result = layer.result
        inner, again = f"{result}/inner", f"{result}/again"
        node = self._copy(layer.node, inner if last.name != layer.node.name else again)
        node.input[0] = self._activation(layer.node.input[0])
        node.input[1] = self._weight(layer.node)
        self.nodes.append(node)
        if last.name != layer.node.name:
            bias = self._copy(last, again)
            bias.input[:] = [inner if n == layer.node.output[0] else n for n in last.input]
            self.nodes.append(bias)
        self.ranges[again] = self.ranges[result]
        rounded = self._activation(again) if self.grid.quantize_results else again
        self._node("Sub", [result, rounded], f"{result}/difference")
        for power, value in zip(POWERS, (f"{result}/difference", result), strict=True):
            self._node("ReduceSumSquare", [value], f"{result}/{power}")
            self.nodes[-1].attribute.append(helper.make_attribute("keepdims", 0))

    @staticmethod
    def _copy(node: onnx.NodeProto, output: str) -> onnx.NodeProto:
        new = onnx.NodeProto()
        new.CopyFrom(node)
        new.name, new.output[:] = output, [output]
        return new
