"""Convert a float32 graph to float16 or bfloat16; its inputs and outputs stay float32."""

from __future__ import annotations

from collections.abc import Collection

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export.graphs.values import upstream, value_types

KINDS: dict[str, tuple[int, np.dtype[np.generic]]] = {
    "fp16": (TensorProto.FLOAT16, np.dtype(np.float16)),
    "bf16": (TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16)),
}
"""Precision -> ONNX element type and numpy dtype."""

_LARGEST = {"fp16": 65504.0, "bf16": float(np.finfo(np.float32).max) * (1 - 2.0**-8)}
_FLOAT = TensorProto.FLOAT
_FLOAT_INPUTS = {"Resize": (1, 2)}
"""Operator -> inputs that must be float32 whatever the others are."""

PHASES = ("Sin", "Cos")


def phase_nodes(model: onnx.ModelProto) -> set[str]:
    """Return the sines and cosines of the timestep, and the nodes that compute their angles.

    An angle near 1000 rounds to a multiple of 0.5 in float16 and of 4 in bfloat16, which makes its
    sine meaningless.
    """
    return upstream(model, [node for node in model.graph.node if node.op_type in PHASES])


def lower(model: onnx.ModelProto, to: str, float32_nodes: Collection[str] = ()) -> onnx.ModelProto:
    """Convert a graph to float16 or bfloat16, with casts at its inputs and outputs.

    Args:
        model: a float32 graph whose nodes all have names.
        to: "fp16" or "bf16".
        float32_nodes: names of the nodes that stay float32, besides `phase_nodes`.

    Returns:
        a new model whose inputs and outputs have the same names and types.
    """
    return _Lowering(model, to, set(float32_nodes) | phase_nodes(model)).run()


class _Lowering:
    """The conversion of one graph: one pass over its nodes, in order."""

    def __init__(self, model: onnx.ModelProto, to: str, float32_nodes: set[str]) -> None:
        self.model, self.suffix, self.float32_nodes = model, to, float32_nodes
        self.low, self.dtype = KINDS[to]
        self.types = value_types(model)
        self.outputs = {value.name for value in model.graph.output}
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        # value -> element type -> its name in the new graph
        self.names: dict[str, dict[int, str]] = {}
        self.nodes: list[onnx.NodeProto] = []
        # weight -> element types in which it is read
        self.read_as: dict[str, set[int]] = {}

    def run(self) -> onnx.ModelProto:
        for value in self.model.graph.input:
            self.names[value.name] = {self.types[value.name]: value.name}
        self._plan_weights()
        for node in self.model.graph.node:
            self._take(node)
        for value in self.model.graph.output:
            made = self.names[value.name]
            if self.types[value.name] == _FLOAT and _FLOAT not in made:
                self._cast(made[self.low], value.name, _FLOAT)
        return self._assemble()

    def _wanted(self, node: onnx.NodeProto) -> int:
        return _FLOAT if node.name in self.float32_nodes else self.low

    def _plan_weights(self) -> None:
        for node in self.model.graph.node:
            for index, name in enumerate(node.input):
                if name in self.weights and self.types[name] == _FLOAT:
                    self.read_as.setdefault(name, set()).add(self._type_of_input(node, index))
        for name, types in self.read_as.items():
            both = len(types) > 1
            self.names[name] = {
                t: f"{name}/float32" if both and t == _FLOAT else name for t in types
            }

    def _type_of_input(self, node: onnx.NodeProto, index: int) -> int:
        if index in _FLOAT_INPUTS.get(node.op_type, ()):
            return _FLOAT
        return self._wanted(node)

    def _take(self, original: onnx.NodeProto) -> None:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        for index, name in enumerate(original.input):
            if name and self.types[name] == _FLOAT:
                node.input[index] = self._value(name, self._type_of_input(original, index))
        wanted = self._wanted(original)
        if wanted != _FLOAT:
            self._lower_attributes(node)
        for index, name in enumerate(original.output):
            if name and self.types[name] == _FLOAT:
                new = f"{name}/{self.suffix}" if name in self.outputs and wanted != _FLOAT else name
                node.output[index] = new
                self.names[name] = {wanted: new}
        self.nodes.append(node)

    def _lower_attributes(self, node: onnx.NodeProto) -> None:
        """Change the type that Cast, Constant and ConstantOfShape state."""
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FLOAT:
                attribute.i = self.low
            elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == _FLOAT:
                attribute.t.CopyFrom(self._converted(attribute.t, attribute.t.name))

    def _value(self, name: str, wanted: int) -> str:
        made = self.names[name]
        if wanted not in made:
            suffix = "float32" if wanted == _FLOAT else self.suffix
            target = name if name in self.outputs and wanted == _FLOAT else f"{name}/{suffix}"
            (source,) = made.values()
            made[wanted] = self._cast(source, target, wanted)
        return made[wanted]

    def _cast(self, source: str, target: str, to: int) -> str:
        self.nodes.append(
            helper.make_node("Cast", [source], [target], name=f"cast/{target}", to=to)
        )
        return target

    def _converted(self, tensor: TensorProto, name: str) -> TensorProto:
        limit = _LARGEST[self.suffix]
        values = np.clip(numpy_helper.to_array(tensor), -limit, limit).astype(self.dtype)
        return numpy_helper.from_array(values, name)

    def _assemble(self) -> onnx.ModelProto:
        new = onnx.ModelProto()
        new.CopyFrom(_without_weights(self.model))
        del new.graph.node[:]
        new.graph.node.extend(self.nodes)
        for tensor in self.model.graph.initializer:
            if tensor.name not in self.read_as:
                new.graph.initializer.append(tensor)
                continue
            for kind in sorted(self.read_as[tensor.name]):
                name = self.names[tensor.name][kind]
                if kind == _FLOAT:
                    added = new.graph.initializer.add()
                    added.CopyFrom(tensor)
                    added.name = name
                else:
                    new.graph.initializer.append(self._converted(tensor, name))
        return new


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    bare = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            if field.is_repeated:
                getattr(bare, field.name).extend(value)
            else:
                setattr(bare, field.name, value)
    bare.graph.name = model.graph.name
    bare.graph.input.extend(model.graph.input)
    bare.graph.output.extend(model.graph.output)
    return bare
