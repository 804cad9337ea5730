"""Count what each node of a graph must do: multiplications and bytes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeswap_bench.explain.onnx_reader import OnnxGraph, OnnxNode, read_onnx
from edgeswap_bench.measure.inputs import seeded_inputs
from edgeswap_runtime.backends.profiling import profile_ort

if TYPE_CHECKING:
    from pathlib import Path

    from edgeswap_runtime.bundle.manifest import Graph

    Shape = tuple[int, ...]
    Tensors = dict[str, tuple[Shape, int]]
    """Tensor name -> (shape, bytes an element)."""

_BYTES = {"float": 4, "float16": 2, "bfloat16": 2, "double": 8, "int64": 8, "int32": 4,
          "int8": 1, "uint8": 1, "bool": 1}  # fmt: skip
"""ONNX Runtime's word for an element type -> bytes."""

_VIEWS = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity", "Constant"})
"""Operators that only look at their input differently: no bytes move."""

_POINTWISE = frozenset({
    "Add", "Sub", "Mul", "Div", "Relu", "Sigmoid", "Tanh", "Clip", "Erf", "Sqrt", "Pow", "Neg",
    "Exp", "Cast", "Gelu", "LeakyRelu", "HardSigmoid", "Softplus", "QuantizeLinear",
    "DequantizeLinear",
})  # fmt: skip
"""Operators that a compiler can do while it writes the result of the one before."""

MULTIPLY = frozenset({
    "Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "Gemm", "MatMul", "MatMulInteger",
    "QLinearMatMul", "QGemm",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCost:
    """What one node must do.

    Attributes:
        name: the node's, or its first output's where it has none.
        kind: the operator.
        block: the block of the network that it belongs to, such as "down_blocks.0.resnets.1".
        macs: multiply-accumulates of convolutions and matrix products; 0 for the rest.
        read_bytes: of its inputs, weights included.
        written_bytes: of its outputs.
        pointwise: could be fused into the node before.
        outputs: names of the tensors that it makes.
    """

    name: str
    kind: str
    block: str
    macs: int
    read_bytes: int
    written_bytes: int
    pointwise: bool
    outputs: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Read and written."""
        return self.read_bytes + self.written_bytes


def graph_costs(path: Path, graph: Graph) -> tuple[NodeCost, ...]:
    """Count a graph's work, node by node.

    The shapes come from running the graph once in ONNX Runtime with nothing optimized.

    Args:
        path: the ONNX file.
        graph: what the manifest says of it.

    Raises:
        InvalidRequest: not an ONNX file.
        ModuleNotFoundError: onnxruntime is not installed.
    """
    structure = read_onnx(path)
    arrays = seeded_inputs(graph)
    layers = profile_ort(path, arrays, threads=1, runs=1, optimize=False)
    tensors: Tensors = {n: (a.shape, a.dtype.itemsize) for n, a in arrays.items()}
    tensors |= structure.weights
    by_name = {layer.name: layer for layer in layers}
    by_index = {layer.index: layer for layer in layers}
    for index, node in enumerate(structure.nodes):
        layer = by_name.get(node.name) or by_index.get(index)
        if layer is None or layer.kind != node.kind:
            continue  # folded away, as constants are
        for name, (kind, shape) in zip(node.outputs, layer.outputs, strict=False):
            tensors[name] = (shape, _BYTES.get(kind, 4))
    blocks = _blocks(structure)
    return tuple(
        _cost(node, tensors, block)
        for node, block in zip(structure.nodes, blocks, strict=True)
        if node.kind != "Constant"
    )


def block_of(weight: str) -> str:
    """Name the block that a weight belongs to, or "" where the name is not a module's.

    Such as "unet.down_blocks.0.resnets.1.conv1.weight" -> "down_blocks.0.resnets.1".
    """
    parts = weight.split(".")[:-1]
    if parts and parts[0] in ("unet", "vae", "model"):
        parts = parts[1:]
    numbers = [at for at, part in enumerate(parts[:4]) if part.isdigit()]
    return ".".join(parts[: numbers[-1] + 1] if numbers else parts[:1])


def node_name(node: OnnxNode) -> str:
    """Its name, or its first output's where it has none."""
    return node.name or (node.outputs or ("",))[0]


def _cost(node: OnnxNode, tensors: Tensors, block: str) -> NodeCost:
    known = [tensors[name] for name in dict.fromkeys(node.inputs) if name in tensors]
    made = [tensors[name] for name in node.outputs if name in tensors]
    moves = node.kind not in _VIEWS
    return NodeCost(
        name=node_name(node),
        kind=node.kind,
        block=block,
        macs=_macs(node, tensors),
        read_bytes=sum(_size(tensor) for tensor in known) if moves else 0,
        written_bytes=sum(_size(tensor) for tensor in made) if moves else 0,
        pointwise=node.kind in _POINTWISE,
        outputs=node.outputs,
    )


def _macs(node: OnnxNode, tensors: Tensors) -> int:
    """Multiply-accumulates, from the shapes. Source: the operators' definitions in ONNX."""
    if node.kind not in MULTIPLY or node.outputs[0] not in tensors:
        return 0
    result = tensors[node.outputs[0]][0]
    second = 3 if node.kind in ("QLinearConv", "QLinearMatMul", "QGemm") else 1
    first_name, second_name = node.inputs[0], node.inputs[second]
    if first_name not in tensors or second_name not in tensors:
        return 0
    first, weights = tensors[first_name][0], tensors[second_name][0]
    if node.kind == "ConvTranspose":
        return math.prod(first) * math.prod(weights[1:])
    if "Conv" in node.kind:
        return math.prod(result) * math.prod(weights[1:])
    if "Gemm" in node.kind or node.kind == "QGemm":
        return math.prod(first) * result[-1]
    return math.prod(result) * first[-1]


def _size(tensor: tuple[Shape, int]) -> int:
    return math.prod(tensor[0]) * tensor[1]


def _blocks(graph: OnnxGraph) -> list[str]:
    """A block for every node: its weight's, else its consumer's, else its producer's."""
    found = [
        next((block for block in map(block_of, _named(node, graph)) if block), "")
        for node in graph.nodes
    ]
    consumer = {name: at for at, node in enumerate(graph.nodes) for name in node.inputs}
    for at, node in enumerate(graph.nodes):
        nameless = any(name in graph.weights for name in node.inputs) and node.kind in MULTIPLY
        after = consumer.get(node.outputs[0]) if node.outputs else None
        if not found[at] and nameless and after is not None:
            found[at] = found[after]
    producer: dict[str, str] = {}
    for at, node in enumerate(graph.nodes):
        if not found[at]:
            before = [producer[name] for name in node.inputs if producer.get(name)]
            found[at] = before[0] if before else ""
        producer |= dict.fromkeys(node.outputs, found[at])
    return [block or "(none)" for block in found]


def _named(node: OnnxNode, graph: OnnxGraph) -> list[str]:
    """Weights of a node that are named as a module's parameters are."""
    return [n for n in node.inputs if n in graph.weights and re.search(r"\w\.\w", n)]
