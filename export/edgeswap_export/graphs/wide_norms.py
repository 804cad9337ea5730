"""Split norms over many numbers, whose plain sum in float32 ONNX Runtime gets wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeswap_export.graphs.values import skeleton

WIDEST = 1 << 16
"""Numbers that a norm may take together. ONNX Runtime adds them one after another: its answer for
this many is 2e-7 of a deviation from the true one, for 16 times as many 1e-5."""

_MARK = "/wide/"


def split_wide_norms(model: onnx.ModelProto) -> None:
    """Write each InstanceNormalization over more than `WIDEST` numbers as means of means.

    Each channel's numbers become rows, of which all have the same number: the mean of the rows'
    means is the mean, and the sums stay short. Torch writes GroupNorm as this operator.

    Args:
        model: a float32 graph; changed in place. Norms of unknown width are left as they are.
    """
    shapes, nodes = _shapes(model), []
    for node in model.graph.node:
        shape = shapes.get(node.input[0]) if node.op_type == "InstanceNormalization" else None
        rows = _rows(shape[2:]) if shape is not None else None
        if shape is None or rows is None:
            nodes.append(node)
        else:
            nodes += _split(model, node, shape, rows)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def join_wide_norms(model: onnx.ModelProto) -> None:
    """Undo `split_wide_norms`: for other precisions, whose bounds are wide enough for it.

    Args:
        model: changed in place.
    """
    nodes: list[onnx.NodeProto] = []
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if _MARK in t.name}
    for node in model.graph.node:
        stem, mark, step = node.name.partition(_MARK)
        if not mark:
            nodes.append(node)
        elif step == "rows":
            inputs = [node.input[0], "", ""]
            nodes.append(helper.make_node("InstanceNormalization", inputs, [], stem))
        elif step == "steadied":
            small = float(stored[node.input[1]])
            nodes[-1].attribute.append(helper.make_attribute("epsilon", small))
        elif step in ("scale", "bias"):
            nodes[-1].input[1 if step == "scale" else 2] = node.input[0]
        elif step == "back":
            nodes[-1].output.append(node.output[0])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in stored]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Return name -> shape of the values with known sizes; 0 for a batch of free size."""
    graph = onnx.shape_inference.infer_shapes(skeleton(model)).graph
    found = {}
    for value in (*graph.input, *graph.value_info):
        sizes = [size.dim_value for size in value.type.tensor_type.shape.dim]
        if len(sizes) > 2 and all(sizes[1:]):
            found[value.name] = sizes
    return found


def _rows(sizes: list[int]) -> tuple[int, int] | None:
    """Cut a channel's numbers into rows: (rows, numbers in each); None where it is not wide."""
    count = math.prod(sizes)
    if count <= WIDEST:
        return None
    rows = next(n for n in range(math.isqrt(count), 0, -1) if count % n == 0)
    return rows, count // rows


def _split(
    model: onnx.ModelProto, node: onnx.NodeProto, shape: list[int], rows: tuple[int, int]
) -> Iterator[onnx.NodeProto]:
    value, scale, bias = node.input
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)

    def named(name: str) -> str:
        return f"{node.name}{_MARK}{name}"

    def constant(name: str, values: NDArray[Any]) -> str:
        model.graph.initializer.append(numpy_helper.from_array(values, named(name)))
        return named(name)

    def made(kind: str, inputs: list[str], name: str, output: str = "") -> onnx.NodeProto:
        keep: dict[str, Any] = {"keepdims": 1} if kind == "ReduceMean" else {}
        return helper.make_node(kind, inputs, [output or named(name)], named(name), **keep)

    inner, outer = constant("inner_axis", np.array([3])), constant("outer_axis", np.array([2]))
    wide = constant("wide_shape", np.array([0, 0, *rows]))
    each = constant("channel_shape", np.array([-1, 1, 1]))
    yield made("Reshape", [value, wide], "rows")
    yield made("ReduceMean", [named("rows"), inner], "row_means")
    yield made("ReduceMean", [named("row_means"), outer], "mean")
    yield made("Sub", [named("rows"), named("mean")], "centered")
    yield made("Mul", [named("centered"), named("centered")], "squares")
    yield made("ReduceMean", [named("squares"), inner], "row_variances")
    yield made("ReduceMean", [named("row_variances"), outer], "variance")
    small = constant("epsilon", np.array(epsilon, np.float32))
    yield made("Add", [named("variance"), small], "steadied")
    yield made("Sqrt", [named("steadied")], "deviation")
    yield made("Div", [named("centered"), named("deviation")], "normal")
    yield made("Reshape", [scale, each], "scale")
    yield made("Reshape", [bias, each], "bias")
    yield made("Mul", [named("normal"), named("scale")], "scaled")
    yield made("Add", [named("scaled"), named("bias")], "shifted")
    back = constant("narrow_shape", np.array([0, 0, *shape[2:]]))
    yield made("Reshape", [named("shifted"), back], "back", node.output[0])
