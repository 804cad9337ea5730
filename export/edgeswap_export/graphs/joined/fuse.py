"""Join a whole swap into one graph, for applications without the runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx

from edgeswap_export.graphs.joined.fusion import Fusion, renamed_value
from edgeswap_export.graphs.joined.unroll import sampler_graph, sampler_roles
from edgeswap_export.graphs.joined.unsigned import store_weights_unsigned
from edgeswap_export.graphs.role_names import (
    Arrays,
    bind_constants,
    filled,
    value_names,
)
from edgeswap_runtime.bundle.manifest import Graph, Schedule
from edgeswap_runtime.bundle.roles import output_role
from edgeswap_runtime.bundle.run_order import DECODE, DENOISE, find_run_order

SINGLE_FILE = "swap.onnx"


def swap_graph(
    models: Mapping[str, onnx.ModelProto],
    graphs: Mapping[str, Graph],
    schedule: Schedule,
    fixed: Arrays,
    about: Mapping[str, Any],
) -> onnx.ModelProto:
    """Make one graph of a whole swap.

    Args:
        models: name -> graph, all that run in a swap; changed.
        graphs: name -> what the manifest states of it.
        schedule: the steps to unroll; at most MOST_STEPS evaluations.
        fixed: role -> array: the constants, and "guidance".
        about: JSON values for the file's metadata, under "edgeswap".

    Returns:
        a graph that takes the crops, by the names of `value_names` ("target" and "source" of the
        crop that is swapped), and gives `crop` and, where the model has it, `alpha`. The noise that
        it starts from is stored inside, and INT8 weights as UINT8 (`store_weights_unsigned`).

    Raises:
        UnsupportedExport: the schedule has too many steps, or a graph cannot be joined with others.
        GraphNotExported: the result is not valid ONNX.
    """
    order, names = find_run_order(graphs), value_names(graphs)
    for name, model in models.items():
        bind_constants(model, graphs[name], fixed)
    scale = float(fixed["guidance"][0])
    sampler = sampler_graph(models, graphs[DENOISE], schedule, names, scale)
    fused = Fusion("swap", models[DENOISE])
    for name in (*order.per_photo, *order.per_source, *order.per_target):
        _add(fused, name, models[name], graphs[name], names)
    taken = {names[role]: names[role] for role in sampler_roles(graphs[DENOISE], schedule)}
    fused.add(sampler, "sample", taken, {"sample": "sample"})
    _add(fused, DECODE, models[DECODE], graphs[DECODE], names)
    inputs = _pictures(models, graphs, names, (*order.target_roles, *order.source_roles))
    model = fused.finish(inputs, list(models[DECODE].graph.output))
    store_weights_unsigned(model)
    told = json.dumps(dict(about), sort_keys=True, separators=(",", ":"))
    model.metadata_props.add(key="edgeswap", value=told)
    return model


def _add(
    fused: Fusion, name: str, model: onnx.ModelProto, graph: Graph, names: Mapping[str, str]
) -> None:
    inputs = {tensor: names[role] for tensor, role in filled(graph, names).items()}
    outputs = {
        tensor.name: tensor.name if name == DECODE else names[output_role(name, tensor.name)]
        for tensor in graph.outputs
    }
    fused.add(model, name, inputs, outputs)


def _pictures(
    models: Mapping[str, onnx.ModelProto],
    graphs: Mapping[str, Graph],
    names: Mapping[str, str],
    roles: tuple[str, ...],
) -> list[onnx.ValueInfoProto]:
    """The inputs of the whole, each as the first graph that looks at it states it."""
    found: dict[str, onnx.ValueInfoProto] = {}
    for name, graph in graphs.items():
        values = {value.name: value for value in models[name].graph.input} if name in models else {}
        for tensor, role in filled(graph, roles).items():
            found.setdefault(role, renamed_value(values[tensor], names[role]))
    return [found[role] for role in roles]
