"""Quantize a graph to INT8 or FP8, with QuantizeLinear and DequantizeLinear around its layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export.graphs.values import consumers


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The numbers that a quantized tensor can hold; the zero point is 0.

    Attributes:
        element: ONNX element type.
        dtype: numpy's type.
        top: the largest number.
        per_channel: whether weights get one scale for each output channel.
        quantize_results: whether the outputs of layers are quantized too; ONNX Runtime's INT8
            kernels for the CPU need INT8 on both sides.
        opset: least opset that has the type.
        least_scale: smallest scale.
    """

    element: int
    dtype: np.dtype[np.generic]
    top: float
    per_channel: bool
    quantize_results: bool
    opset: int
    least_scale: float

    def scale(self, peaks: NDArray[np.floating] | float) -> NDArray[np.float32]:
        """Return the scales that map the given magnitudes to the largest number."""
        scales = np.asarray(peaks, np.float32) / np.float32(self.top)
        found: NDArray[np.float32] = np.maximum(scales, np.float32(self.least_scale))
        return found

    def round(self, scaled: NDArray[np.float32]) -> NDArray[np.generic]:
        """Round numbers, in units of the scale, to the grid."""
        clipped = np.clip(scaled, -self.top, self.top)
        if self.dtype == np.int8:
            clipped = np.rint(clipped)
        rounded: NDArray[np.generic] = clipped.astype(self.dtype)
        return rounded


GRIDS = {
    # Symmetric, as TensorRT demands: -128 is not used.
    "int8": Grid(
        element=TensorProto.INT8,
        dtype=np.dtype(np.int8),
        top=127.0,
        per_channel=True,
        quantize_results=True,
        opset=18,
        least_scale=1e-12,
    ),
    # E4M3 of arXiv 2209.05433; one scale for each tensor, as the hardware multiplies.
    "fp8": Grid(
        element=TensorProto.FLOAT8E4M3FN,
        dtype=np.dtype(ml_dtypes.float8_e4m3fn),
        top=448.0,
        per_channel=False,
        quantize_results=False,
        opset=19,
        # The smallest normal float16, the type of these scales; float8 loses nothing by it.
        least_scale=2.0**-14,
    ),
}
"""Precision -> its grid."""


@dataclass(frozen=True, slots=True)
class QuantizableLayer:
    """A convolution or matrix product with constant weights.

    Attributes:
        node: the operator.
        result: the value that holds what it computes, its bias included.
    """

    node: onnx.NodeProto
    result: str


def quantizable(model: onnx.ModelProto, to: str) -> list[QuantizableLayer]:
    """List the layers that can be quantized and become faster by it, in the graph's order.

    The products of two activations in attention are left out: they have no weights, are small, and
    the softmax between them enlarges errors. INT8 also leaves out products without a bias and
    those of single vectors, for which ONNX Runtime has no fast kernel (QLinearConv, QGemm).

    Args:
        model: a float32 graph.
        to: "int8" or "fp8".
    """
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    readers = consumers(model)
    layers = []
    for node in model.graph.node:
        rank = ranks.get(node.input[1], 0) if len(node.input) > 1 else 0
        if node.op_type == "Conv" and rank >= 3:
            layers.append(QuantizableLayer(node, node.output[0]))
        elif node.op_type == "MatMul" and rank == 2:
            following = readers.get(node.output[0], [])
            biased = [n for n in following if n.op_type == "Add" and ranks.keys() & set(n.input)]
            if len(following) == len(biased) == 1:
                layers.append(QuantizableLayer(node, biased[0].output[0]))
            elif not GRIDS[to].quantize_results:
                layers.append(QuantizableLayer(node, node.output[0]))
        elif node.op_type == "Gemm" and rank == 2 and not GRIDS[to].quantize_results:
            layers.append(QuantizableLayer(node, node.output[0]))
    return layers


def observed_values(layers: Iterable[QuantizableLayer]) -> set[str]:
    """Return the names of the values whose ranges `quantize` needs."""
    return {value for layer in layers for value in (layer.node.input[0], layer.result)}


def quantize(
    model: onnx.ModelProto, to: str, ranges: Mapping[str, float], layers: Iterable[QuantizableLayer]
) -> onnx.ModelProto:
    """Put Q/DQ pairs around the chosen layers; all else stays float32.

    Biases stay float32 too: TensorRT demands it, and ONNX Runtime quantizes them itself.

    Args:
        model: a float32 graph.
        to: "int8" or "fp8".
        ranges: name of a value -> magnitude to clip it at, for all of `observed_values`.
        layers: those to quantize, of `quantizable`.

    Returns:
        a new model with the same inputs and outputs.
    """
    return Quantizing(model, GRIDS[to], ranges, layers).run()


class Quantizing:
    """The quantization of one graph: one pass over its nodes, in order.

    Args:
        model, ranges, layers: as `quantize` takes them.
        grid: of GRIDS.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        grid: Grid,
        ranges: Mapping[str, float],
        layers: Iterable[QuantizableLayer],
    ) -> None:
        self.model, self.grid, self.ranges = model, grid, dict(ranges)
        chosen = list(layers)
        self.chosen = {layer.node.name for layer in chosen}
        outputs = {value.name for value in model.graph.output}
        self.results = {layer.result for layer in chosen if grid.quantize_results} - outputs
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.added: dict[str, TensorProto] = {}
        self.nodes: list[onnx.NodeProto] = []
        # value or weight -> the name of its dequantized copy
        self.copies: dict[str, str] = {}

    def run(self) -> onnx.ModelProto:
        """Build the quantized graph."""
        for original in self.model.graph.node:
            node = onnx.NodeProto()
            node.CopyFrom(original)
            # Every reader of a layer's output reads it quantized: ONNX Runtime does not fuse a
            # layer whose output is also read unquantized.
            for index, name in enumerate(original.input):
                node.input[index] = self.copies[name] if name in self.results else name
            if original.name in self.chosen:
                node.input[0] = self._activation(original.input[0])
                node.input[1] = self._weight(original)
            self.nodes.append(node)
            for name in original.output:
                if name in self.results:
                    self._activation(name)
        return self._assemble()

    def _activation(self, name: str) -> str:
        if name not in self.copies:
            scale = self.grid.scale(self.ranges[name])
            extra = [self._constant(f"{name}/scale", scale), self._zero(f"{name}/zero", ())]
            quantized, copy = f"{name}/quantized", f"{name}/dequantized"
            self._node("QuantizeLinear", [name, *extra], quantized)
            self._node("DequantizeLinear", [quantized, *extra], copy)
            self.copies[name] = copy
        return self.copies[name]

    def _weight(self, node: onnx.NodeProto) -> str:
        name = node.input[1]
        axis = _channel_axis(node) if self.grid.per_channel else None
        copy = f"{name}/dequantized" if axis is None else f"{name}/dequantized.{axis}"
        if copy in self.copies.values():
            return copy
        values = numpy_helper.to_array(self.weights[name])
        others = None if axis is None else tuple(i for i in range(values.ndim) if i != axis)
        scale = self.grid.scale(np.abs(values).max(axis=others, keepdims=True))
        stem = copy.replace("dequantized", "")
        quantized = self.grid.round((values / scale).astype(np.float32))
        shape = () if axis is None else (values.shape[axis],)
        inputs = [
            self._constant(f"{stem}quantized", quantized),
            self._constant(f"{stem}scale", scale.reshape(shape)),
            self._zero(f"{stem}zero", shape),
        ]
        self._node("DequantizeLinear", inputs, copy)
        if axis is not None:
            self.nodes[-1].attribute.append(helper.make_attribute("axis", axis))
        self.copies[f"{name} as weight {axis}"] = copy
        return copy

    def _node(self, kind: str, inputs: list[str], output: str) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output))

    def _constant(self, name: str, values: NDArray[np.generic] | np.generic) -> str:
        self.added.setdefault(name, numpy_helper.from_array(np.asarray(values), name))
        return name

    def _zero(self, name: str, shape: tuple[int, ...]) -> str:
        return self._constant(name, np.zeros(shape, self.grid.dtype))

    def _assemble(self) -> onnx.ModelProto:
        new = onnx.ModelProto()
        new.CopyFrom(self.model)
        raise_opset(new, self.grid.opset)
        del new.graph.node[:]
        new.graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in self.model.graph.initializer if tensor.name in read]
        del new.graph.initializer[:]
        new.graph.initializer.extend([*kept, *self.added.values()])
        return new


def raise_opset(model: onnx.ModelProto, least: int) -> None:
    """Raise the opset; from 18 on the operators written here differ only in the types they take."""
    for entry in model.opset_import:
        if entry.domain == "" and entry.version < least:
            entry.version = least


def clips(
    samples: Mapping[str, NDArray[np.float32]], peaks: Mapping[str, float], to: str
) -> dict[str, float]:
    """Choose where to clip each value: where the squared error over the samples is least.

    Clipping a few large numbers gives all others a finer grid. Values in float8 are not clipped:
    its grid is finer near zero anyway.

    Args:
        samples: name of a value -> (N,) float32 samples of it.
        peaks: name of a value -> its largest magnitude.
        to: "int8" or "fp8".

    Source:
        Banner, Nahshan, Hoffer & Soudry, arXiv 1810.05723.
    """
    if to == "fp8":
        return dict(peaks)
    return {name: _best_clip(samples[name], peaks[name]) for name in peaks}


def _best_clip(sample: NDArray[np.float32], peak: float, shares: Iterable[float] = ()) -> float:
    tried = list(shares) or [1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4]
    errors = []
    for share in tried:
        scale = max(share * peak, 1e-12) / 127.0
        rounded = np.clip(np.rint(sample / scale), -127, 127) * scale
        errors.append(float(np.square(rounded - sample, dtype=np.float64).sum()))
    return peak * tried[int(np.argmin(errors))]


def _channel_axis(node: onnx.NodeProto) -> int:
    """Return the weight's axis of output channels."""
    if node.op_type == "MatMul":
        return 1
    if node.op_type == "Gemm":
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        return 0 if transposed else 1
    return 0
