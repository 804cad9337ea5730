"""Join graphs: unroll a sampler's steps into one graph, and a whole swap into one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.graphs.to_onnx import PRODUCER, check
from edgeswap_runtime.bundle.manifest import Schedule, ScheduleRow
from edgeswap_runtime.sampler import noise_source

MOST_STEPS = 4
"""Most steps in one graph: each repeats the denoiser's nodes, and the time to build engines."""

SINGLE_FILE = "swap.onnx"
SEED = 0
"""Seed of the stored noise: the runtime's default, so that both give the same swap."""


def swap_graph(
    graphs: Mapping[str, onnx.ModelProto],
    schedule: Schedule,
    guidance_scale: float,
    about: Mapping[str, Any],
) -> onnx.ModelProto:
    """Make one graph of a whole swap.

    Args:
        graphs: encode, identity, denoise and decode, by name.
        schedule: the steps to unroll; at most MOST_STEPS evaluations.
        guidance_scale: the bundle's.
        about: JSON values for the file's metadata, under "edgeswap".

    Returns:
        a graph with inputs target and source, (N, 3, R, R) aligned RGB crops in [-1, 1], and
        output crop, (N, 3, R, R) in [-1, 1]; alpha (N, 1, R, R) in [0, 1] besides, where decode
        gives it. The noise that it starts from is stored inside.

    Raises:
        UnsupportedExport: the schedule has too many steps.
        GraphNotExported: the result is not valid ONNX.
    """
    sampler = sampler_graph(graphs["denoise"], schedule, guidance_scale)
    fused = _Fusion("swap", graphs["encode"])
    fused.add(graphs["encode"], "encode", {"target": "target"})
    fused.add(graphs["identity"], "identity", {"source": "source"})
    shared = ("target_latents", "tokens", "vector", "source_latents")
    fused.add(sampler, "sample", {name: name for name in shared})
    seen = [value.name for value in graphs["decode"].graph.input]  # the target's crop, for some
    fused.add(graphs["decode"], "decode", {name: name for name in seen})
    inputs = [graphs["encode"].graph.input[0], graphs["identity"].graph.input[0]]
    model = fused.finish(inputs, list(graphs["decode"].graph.output))
    told = json.dumps(dict(about), sort_keys=True, separators=(",", ":"))
    model.metadata_props.add(key="edgeswap", value=told)
    return model


def require_few_steps(schedule: Schedule) -> None:
    """Check that a schedule can be unrolled.

    Raises:
        UnsupportedExport: it has more than MOST_STEPS rows.
    """
    if len(schedule.rows) > MOST_STEPS:
        raise UnsupportedExport(
            f"schedule {schedule.sampler} of {schedule.steps} steps evaluates the denoiser"
            f" {len(schedule.rows)} times; one graph holds at most {MOST_STEPS}: distill the model"
            " to fewer steps, or name another schedule with --sampler and --steps"
        )


def sampler_graph(
    denoise: onnx.ModelProto, schedule: Schedule, guidance_scale: float = 1.0, seed: int = SEED
) -> onnx.ModelProto:
    """Unroll a schedule's rows around the denoiser, whose weights are stored once.

    Args:
        denoise: the bundle's graph.
        schedule: at most MOST_STEPS rows.
        guidance_scale: stored where the denoiser has such an input.
        seed: of the stored noise, which is drawn as in the runtime.

    Returns:
        a graph with inputs target_latents, tokens, vector and source_latents, and output sample,
        the x' of `edgeswap_runtime.sampler` in float32.

    Raises:
        UnsupportedExport: too many rows.
    """
    require_few_steps(schedule)
    return _Unrolled(denoise, schedule, guidance_scale, seed).run()


class _Fusion:
    """Nodes and weights of several graphs, with a prefix for each graph's names."""

    def __init__(self, name: str, like: onnx.ModelProto) -> None:
        self.name, self.ir_version = name, like.ir_version
        self.opsets: dict[str, int] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, TensorProto] = {}

    def add(self, model: onnx.ModelProto, prefix: str, inputs: Mapping[str, str]) -> None:
        """Add a graph whose inputs are values that exist; its outputs keep their names."""
        self.add_weights(model, prefix)
        outputs = {value.name: value.name for value in model.graph.output}
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
            node = onnx.NodeProto()
            node.CopyFrom(original)
            node.name = f"{prefix}/{original.name}"
            node.input[:] = [renamed(value) for value in original.input]
            node.output[:] = [renamed(value) for value in original.output]
            self.nodes.append(node)

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


class _Unrolled:
    """Write the rows of a schedule as nodes, one row after the other."""

    def __init__(
        self, denoise: onnx.ModelProto, schedule: Schedule, guidance_scale: float, seed: int
    ) -> None:
        self.denoise, self.schedule, self.guidance_scale = denoise, schedule, guidance_scale
        self.fused = _Fusion("sample", denoise)
        self.inputs = {value.name: value for value in denoise.graph.input}
        shape = [max(d.dim_value, 1) for d in _shape(self.inputs["sample"])]
        self.draw = noise_source(seed, tuple(shape))
        # With a dynamic batch the stored noise is expanded to the condition's batch.
        self.free = bool(_shape(self.inputs["sample"])[0].dim_param)

    def run(self) -> onnx.ModelProto:
        self.fused.add_weights(self.denoise, "denoise")
        start = (self.schedule.initial_noise_scale * self.draw()).astype(np.float32)
        sample, memory = self._noise("start", start), ""
        for index, row in enumerate(self.schedule.rows):
            sample, memory = self._row(f"step{index}", row, sample, memory)
        self.fused.nodes.append(helper.make_node("Identity", [sample], ["sample"], name="result"))
        kept = ("target_latents", "tokens", "vector", "source_latents")
        output = onnx.ValueInfoProto()
        output.CopyFrom(self.inputs["sample"])
        return self.fused.finish([self.inputs[name] for name in kept], [output])

    def _row(self, step: str, row: ScheduleRow, sample: str, memory: str) -> tuple[str, str]:
        scaled = self._sum(f"{step}/scaled", [(row.input_scale, sample)])
        names = {"sample": scaled, "output": f"{step}/output"}
        names |= {n: n for n in ("target_latents", "tokens", "vector", "source_latents")}
        names["timestep"] = self._per_item(f"{step}/timestep", row.timestep)
        if "guidance" in self.inputs:
            names["guidance"] = self._per_item(f"{step}/guidance", self.guidance_scale)
        self.fused.add_nodes(self.denoise, step, "denoise", names)
        terms = [(row.sample, sample), (row.output, names["output"])]
        if row.history and memory:
            terms.append((row.history, memory))
        if row.noise:
            noise = (row.noise * self.draw()).astype(np.float32)
            terms.append((1.0, self._noise(f"{step}/noise", noise)))
        following = self._sum(f"{step}/sample", terms)
        if not (row.history_sample or row.history_output):
            return following, ""
        kept = [(row.history_sample, sample), (row.history_output, names["output"])]
        return following, self._sum(f"{step}/memory", kept)

    def _noise(self, name: str, values: NDArray[np.float32]) -> str:
        stored = self.fused.constant(f"{name}/noise", values)
        if not self.free:
            return stored
        self._node("Shape", ["target_latents"], f"{name}/shape")
        return self._node("Expand", [stored, f"{name}/shape"], name)

    def _per_item(self, name: str, value: float) -> str:
        """Store a number and expand it over the batch, (N,)."""
        stored = self.fused.constant(f"{name}/value", np.array([value], np.float32))
        if not self.free:
            return stored
        self._node("Shape", ["target_latents"], f"{name}/shape")
        self.fused.nodes[-1].attribute.append(helper.make_attribute("end", 1))
        return self._node("Expand", [stored, f"{name}/shape"], name)

    def _sum(self, name: str, terms: list[tuple[float, str]]) -> str:
        """Add a weighted sum; terms with factor 0 are left out, factor 1 is not multiplied."""
        parts = []
        for index, (factor, value) in enumerate((f, v) for f, v in terms if f != 0.0):
            part = value
            if factor != 1.0:
                by = self.fused.constant(f"{name}/factor{index}", np.array(factor, np.float32))
                part = self._node("Mul", [value, by], f"{name}/part{index}")
            parts.append(part)
        total = parts[0]
        for index, part in enumerate(parts[1:]):
            total = self._node("Add", [total, part], f"{name}/sum{index}")
        return total

    def _node(self, kind: str, inputs: list[str], output: str) -> str:
        self.fused.nodes.append(helper.make_node(kind, inputs, [output], name=output))
        return output


def _shape(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim
