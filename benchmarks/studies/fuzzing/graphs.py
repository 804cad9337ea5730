"""Mutations of ONNX graphs: of their bytes, and of names, shapes, nodes and weights."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fuzzing import bytestrings

Model = onnx.ModelProto


def mutate(data: bytes, random: Random) -> tuple[str, bytes]:
    """One random change of a graph: (description, bytes)."""
    if random.random() < 0.5:
        return bytestrings.mutate(data, random)
    return _apply(data, random.choice(list(WAYS)), random)


def crafted(data: bytes, way: int) -> tuple[str, bytes]:
    """The change with this number."""
    return _apply(data, list(WAYS)[way], Random(way))


def _apply(data: bytes, name: str, random: Random) -> tuple[str, bytes]:
    model = onnx.load_from_string(data)
    WAYS[name](model, random)
    return name, model.SerializeToString()


def _input_renamed(model: Model, random: Random) -> None:
    random.choice(model.graph.input).name = "other"


def _output_renamed(model: Model, random: Random) -> None:
    value = random.choice(model.graph.output)
    node = helper.make_node("Identity", [value.name], ["other"])
    model.graph.node.append(node)
    value.name = "other"


def _input_added(model: Model, random: Random) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def _output_dropped(model: Model, random: Random) -> None:
    del model.graph.output[random.randrange(len(model.graph.output))]


def _dtype(model: Model, random: Random) -> None:
    value = random.choice([*model.graph.input, *model.graph.output])
    kinds = (TensorProto.INT64, TensorProto.FLOAT16, TensorProto.STRING, TensorProto.DOUBLE, 99)
    value.type.tensor_type.elem_type = random.choice(kinds)


def _shape(model: Model, random: Random) -> None:
    value = random.choice([*model.graph.input, *model.graph.output])
    dimension = random.choice(value.type.tensor_type.shape.dim)
    dimension.dim_value = random.choice((-1, 0, 2, 7, 64_000, 10**9))


def _free_shape(model: Model, random: Random) -> None:
    for value in [*model.graph.input, *model.graph.output]:
        for number, dimension in enumerate(value.type.tensor_type.shape.dim):
            dimension.dim_param = f"free{number}"


def _rank(model: Model, random: Random) -> None:
    value = random.choice([*model.graph.input, *model.graph.output])
    value.type.tensor_type.shape.dim.add().dim_value = 1


def _operator(model: Model, random: Random) -> None:
    kinds = ("Loop", "NoSuchOperator", "Softmax", "If", "Relu", "RandomNormal")
    random.choice(model.graph.node).op_type = random.choice(kinds)


def _node_dropped(model: Model, random: Random) -> None:
    del model.graph.node[random.randrange(len(model.graph.node))]


def _node_doubled(model: Model, random: Random) -> None:
    model.graph.node.append(random.choice(model.graph.node))


def _cycle(model: Model, random: Random) -> None:
    node = random.choice(model.graph.node)
    if node.input and node.output:
        node.input[0] = node.output[0]


def _attribute(model: Model, random: Random) -> None:
    found = [a for node in model.graph.node for a in node.attribute if a.ints or a.i]
    if found:
        attribute = random.choice(found)
        value = random.choice((-1, 0, 7, 64_000, 2**62))
        if attribute.ints:
            attribute.ints[0] = value
        else:
            attribute.i = value


def _scaled(model: Model, factor: float) -> None:
    """Multiply what the graph answers by a factor."""
    for value in list(model.graph.output):
        inner = f"{value.name}.before"
        for node in model.graph.node:
            node.output[:] = [inner if name == value.name else name for name in node.output]
            node.input[:] = [inner if name == value.name else name for name in node.input]
        constant = numpy_helper.from_array(np.float32(factor), f"{value.name}.factor")
        model.graph.initializer.append(constant)
        model.graph.node.append(helper.make_node("Mul", [inner, constant.name], [value.name]))


def _nan(model: Model, random: Random) -> None:
    _scaled(model, float("nan"))


def _infinite(model: Model, random: Random) -> None:
    _scaled(model, float("inf"))


def _huge(model: Model, random: Random) -> None:
    _scaled(model, 1e30)


def _memory(model: Model, random: Random) -> None:
    """A constant of 8 GB, computed by the graph and added to nothing."""
    side = numpy_helper.from_array(np.array([2_000_000_000], np.int64), "side")
    model.graph.initializer.append(side)
    model.graph.node.append(helper.make_node("ConstantOfShape", ["side"], ["big"]))
    model.graph.node.append(helper.make_node("ReduceMax", ["big"], ["most"], keepdims=0))
    output = helper.make_tensor_value_info("most", TensorProto.FLOAT, [])
    model.graph.output.append(output)


def _external(model: Model, random: Random) -> None:
    """Weights said to lie outside the bundle."""
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type, tensor.data_location = "away", TensorProto.FLOAT, 1
    tensor.dims.append(4)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", random.choice(("../../../etc/passwd", "/etc/passwd", "x"))


def _opset(model: Model, random: Random) -> None:
    model.opset_import[0].version = random.choice((0, 1, 99, 2**40))


def _ir_version(model: Model, random: Random) -> None:
    model.ir_version = random.choice((0, 1, 99, 2**40))


def _empty(model: Model, random: Random) -> None:
    model.Clear()


def _no_nodes(model: Model, random: Random) -> None:
    del model.graph.node[:]


def _foreign_name(model: Model, random: Random) -> None:
    random.choice(model.graph.node).name = "\x1b[31m\n" + "x" * 10_000


WAYS: dict[str, Callable[[Model, Random], None]] = {
    "an input renamed": _input_renamed,
    "an output renamed": _output_renamed,
    "an input added": _input_added,
    "an output dropped": _output_dropped,
    "another element type": _dtype,
    "another shape": _shape,
    "all shapes free": _free_shape,
    "another rank": _rank,
    "another operator": _operator,
    "a node dropped": _node_dropped,
    "a node doubled": _node_doubled,
    "a cycle": _cycle,
    "an attribute changed": _attribute,
    "answers that are NaN": _nan,
    "answers that are infinite": _infinite,
    "answers of 1e30": _huge,
    "8 GB computed": _memory,
    "weights outside the bundle": _external,
    "another opset": _opset,
    "another IR version": _ir_version,
    "an empty model": _empty,
    "no nodes": _no_nodes,
    "a foreign node name": _foreign_name,
}
"""Name -> what it does to a model, in place."""
