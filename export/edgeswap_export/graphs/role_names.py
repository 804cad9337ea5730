"""Name what goes between a bundle's graphs, where they are joined to one graph or one ensemble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeswap_runtime.bundle.manifest import MODEL_CROP, Graph
from edgeswap_runtime.bundle.roles import output_role, parse_role
from edgeswap_runtime.bundle.run_order import DETECTOR, find_run_order

Arrays = Mapping[str, NDArray[np.float32]]


def picture_name(role: str) -> str:
    """Name an input that a crop fills: "target", "source", "source_arcface", "target_keypoints"."""
    parsed = parse_role(role)
    crop = "" if parsed.name == MODEL_CROP else f"_{parsed.name}"
    return f"{parsed.part}{crop}{'_keypoints' if parsed.kind == 'keypoints' else ''}"


def value_names(graphs: Mapping[str, Graph]) -> dict[str, str]:
    """Give everything that fills inputs a name of its own.

    Args:
        graphs: of a manifest; the detector is passed over.

    Returns:
        role -> name: of the pictures, of each graph's outputs (the tensor's own name where no other
        graph gives one of that name), and "sample".
    """
    order = find_run_order(graphs)
    names = {role: picture_name(role) for role in (*order.source_roles, *order.target_roles)}
    given = [(g, t.name) for g in graphs if g != DETECTOR for t in graphs[g].outputs]
    count = Counter([*names.values(), "sample", *(tensor for _, tensor in given)])
    for graph, tensor in given:
        unique = count[tensor] == 1
        names[output_role(graph, tensor)] = tensor if unique else f"{graph}_{tensor}"
    names["sample"] = "sample"
    return names


def filled(graph: Graph, roles: Iterable[str]) -> dict[str, str]:
    """Return name of an input -> role, of the inputs that some roles fill."""
    known = set(roles)
    return {tensor.name: tensor.role for tensor in graph.inputs if tensor.role in known}


def constants_of(graph: Graph) -> dict[str, str]:
    """Return name of an input -> role, of the inputs that constants fill."""
    kinds = {tensor.name: tensor.parsed_role.kind for tensor in graph.inputs}
    return {t.name: t.role for t in graph.inputs if kinds[t.name] == "constant"}


def bind_constants(model: onnx.ModelProto, graph: Graph, arrays: Arrays) -> None:
    """Store a graph's constants in its file, in place: the inputs that they fill go.

    In a graph with a dynamic batch they are repeated for each item of it.

    Args:
        model: the graph.
        graph: what the manifest states of it.
        arrays: role -> array.
    """
    bound = constants_of(graph)
    if not bound:
        return
    body = model.graph
    kept = [value for value in body.input if value.name not in bound]
    free = [v for v in kept if v.type.tensor_type.shape.dim[0].dim_param]
    nodes = []
    for name, role in bound.items():
        array = arrays[role]
        stored = name if not free else f"{name}/stored"
        body.initializer.append(numpy_helper.from_array(array, stored))
        if free:
            nodes += _repeated(body, name, stored, array.ndim, free[0].name)
    del body.input[:]
    body.input.extend(kept)
    for node in reversed(nodes):
        body.node.insert(0, node)


def _repeated(
    body: onnx.GraphProto, name: str, stored: str, axes: int, like: str
) -> list[onnx.NodeProto]:
    """Write the nodes that repeat a stored value for each item of another value's batch."""
    ones = np.ones(axes - 1, np.int64)
    body.initializer.append(numpy_helper.from_array(ones, f"{name}/ones"))
    batch, shape = f"{name}/batch", f"{name}/shape"
    return [
        helper.make_node("Shape", [like], [batch], name=batch, end=1),
        helper.make_node("Concat", [batch, f"{name}/ones"], [shape], name=shape, axis=0),
        helper.make_node("Expand", [stored, shape], [name], name=f"{name}/repeated"),
    ]
