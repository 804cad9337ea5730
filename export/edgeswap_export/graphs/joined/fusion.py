"""Put the nodes and weights of several graphs into one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper, version_converter

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.graphs.to_onnx import PRODUCER, check

_BODIES = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


class Fusion:
    """Nodes and weights of several graphs, with a prefix for each graph's names.

    Args:
        name: of the graph that is made.
        like: its IR version and opset are taken; graphs of another opset are converted.
    """

    def __init__(self, name: str, like: onnx.ModelProto) -> None:
        self.name, self.ir_version = name, like.ir_version
        self.opsets = {entry.domain: entry.version for entry in like.opset_import}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, TensorProto] = {}

    def add(
        self,
        model: onnx.ModelProto,
        prefix: str,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
    ) -> None:
        """Add a graph.

        Args:
            model: the graph.
            prefix: of its inner values.
            inputs: name of each input -> a value that exists.
            outputs: name of each output -> how to call it.

        Raises:
            UnsupportedExport: its nodes cannot be joined with others.
        """
        model = self._at_our_opset(model, prefix)
        self.add_weights(model, prefix)
        self.add_nodes(model, prefix, prefix, {**inputs, **outputs})

    def add_weights(self, model: onnx.ModelProto, prefix: str) -> None:
        """Add a graph's weights alone."""
        for entry in model.opset_import:
            self.opsets[entry.domain] = max(entry.version, self.opsets.get(entry.domain, 0))
        for tensor in model.graph.initializer:
            added = TensorProto()
            added.CopyFrom(tensor)
            added.name = f"{prefix}/{tensor.name}"
            self.weights[added.name] = added

    def add_nodes(
        self, model: onnx.ModelProto, prefix: str, weights: str, names: Mapping[str, str]
    ) -> None:
        """Add a graph's nodes; values in `names` are called so, weights lie under their prefix."""
        stored = {tensor.name for tensor in model.graph.initializer}

        def renamed(value: str) -> str:
            if not value or value in names:
                return names.get(value, "")
            return f"{weights if value in stored else prefix}/{value}"

        for original in model.graph.node:
            if any(attribute.type in _BODIES for attribute in original.attribute):
                raise UnsupportedExport(
                    f"graph '{prefix}' has a node {original.op_type} with a graph of its own, which"
                    " cannot be joined with other graphs: export without --single-file"
                )
            node = onnx.NodeProto()
            node.CopyFrom(original)
            # Nodes of other people's graphs may have no name.
            node.name = f"{prefix}/{original.name or original.output[0]}"
            node.input[:] = [renamed(value) for value in original.input]
            node.output[:] = [renamed(value) for value in original.output]
            self.nodes.append(node)

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add one node and return its output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Store a constant and return its name."""
        self.weights[name] = numpy_helper.from_array(values, name)
        return name

    def finish(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Make the model of all nodes and weights, and check it."""
        graph = helper.make_graph(
            self.nodes, self.name, inputs, outputs, list(self.weights.values())
        )
        model = helper.make_model(
            graph,
            producer_name=PRODUCER,
            ir_version=self.ir_version,
            opset_imports=[helper.make_opsetid(k, v) for k, v in sorted(self.opsets.items())],
        )
        check(model, self.name)
        return model

    def _at_our_opset(self, model: onnx.ModelProto, name: str) -> onnx.ModelProto:
        """Convert a graph of other people, whose nodes may mean something else in our opset."""
        ours = self.opsets.get("", 0)
        found = {entry.domain: entry.version for entry in model.opset_import}.get("", ours)
        if found == ours:
            return model
        try:
            return version_converter.convert_version(model, ours)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UnsupportedExport(
                f"graph '{name}' is of opset {found} and cannot be joined with ours of {ours}:"
                f" {reason}"
            ) from error


def renamed_value(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    """Copy an input or output under another name."""
    copied = onnx.ValueInfoProto()
    copied.CopyFrom(value)
    copied.name = name
    return copied
