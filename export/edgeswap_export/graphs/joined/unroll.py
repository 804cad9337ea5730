"""Unroll a sampler's steps around the denoiser into one graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.graphs.joined.fusion import Fusion, renamed_value
from edgeswap_runtime.bundle.manifest import Graph, Schedule, ScheduleRow
from edgeswap_runtime.sampler import noise_source

MOST_STEPS = 4
"""Most steps in one graph: each repeats the denoiser's nodes, and the time to build engines."""

SEED = 0
"""Seed of the stored noise: the runtime's default, so that both give the same swap."""

LATENTS, MASK = "output:encode/target_latents", "output:encode/latent_mask"


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


def sampler_roles(denoise: Graph, schedule: Schedule) -> tuple[str, ...]:
    """List what a sampler's graph takes: the denoiser's inputs, and what the schedule looks at.

    Args:
        denoise: what the manifest states of the denoiser.
        schedule: that is unrolled.
    """
    own = ("sample", "timestep", "guidance")
    taken = [t.role for t in denoise.inputs if t.role not in own]
    taken = [role for role in taken if not role.startswith("constant:")]
    taken += [LATENTS] if schedule.needs_target else []
    taken += [MASK] if schedule.blends else []
    return tuple(dict.fromkeys(taken))


def sampler_graph(
    models: Mapping[str, onnx.ModelProto],
    denoise: Graph,
    schedule: Schedule,
    names: Mapping[str, str],
    guidance_scale: float = 1.0,
    seed: int = SEED,
) -> onnx.ModelProto:
    """Unroll a schedule's rows around the denoiser, whose weights are stored once.

    Args:
        models: the bundle's graphs denoise and encode, their constants bound.
        denoise: what the manifest states of the denoiser.
        schedule: at most MOST_STEPS rows.
        names: role -> how to call what fills it, see `value_names`.
        guidance_scale: stored where the denoiser has such an input.
        seed: of the stored noise, which is drawn as in the runtime.

    Returns:
        a graph that takes what `sampler_roles` lists, and gives `sample`, the x' of
        `edgeswap_runtime.sampler` in float32.

    Raises:
        UnsupportedExport: too many rows.
    """
    require_few_steps(schedule)
    return _Unrolled(models, denoise, schedule, names, guidance_scale, seed).run()


class _Unrolled:
    """Write the rows of a schedule as nodes, one row after the other."""

    def __init__(
        self,
        models: Mapping[str, onnx.ModelProto],
        denoise: Graph,
        schedule: Schedule,
        names: Mapping[str, str],
        guidance_scale: float,
        seed: int,
    ) -> None:
        self.model, self.entry, self.schedule = models["denoise"], denoise, schedule
        self.names, self.guidance_scale = names, guidance_scale
        self.fused = Fusion("sample", self.model)
        self.values = {value.name: value for value in self.model.graph.input}
        self.given = {value.name: value for value in models["encode"].graph.output}
        self.by_role = {tensor.role: tensor.name for tensor in denoise.inputs}
        self.sample = self.values[self.by_role["sample"]]
        self.output = self.model.graph.output[0].name
        shape = [max(d.dim_value, 1) for d in _shape(self.sample)]
        self.draw = noise_source(seed, tuple(shape))
        # With a dynamic batch the stored noise is expanded to the batch of the first input.
        self.free = bool(_shape(self.sample)[0].dim_param)

    def run(self) -> onnx.ModelProto:
        self.fused.add_weights(self.model, "denoise")
        inputs = [self._input(role) for role in sampler_roles(self.entry, self.schedule)]
        self.batch_of = inputs[0].name
        self.first = self.draw()
        sample = self._start()
        memory = ""
        for index, row in enumerate(self.schedule.rows):
            step = f"step{index}"
            sample, memory = self._row(step, row, sample, memory)
            if row.blends:
                sample = self._blend(step, row, sample)
        self.fused.node("Identity", [sample], "sample")
        return self.fused.finish(inputs, [renamed_value(self.sample, "sample")])

    def _input(self, role: str) -> onnx.ValueInfoProto:
        if role in self.by_role:
            value = self.values[self.by_role[role]]
        else:  # the schedule alone looks at it
            value = self.given[role.rpartition("/")[2]]
        return renamed_value(value, self.names[role])

    def _start(self) -> str:
        scale = self.schedule.initial_noise_scale
        noise = self._noise("start", (scale * self.first).astype(np.float32))
        if not self.schedule.start_signal:
            return noise
        terms = [(1.0, noise), (self.schedule.start_signal, self.names[LATENTS])]
        return self._sum("start/sample", terms)

    def _row(self, step: str, row: ScheduleRow, sample: str, memory: str) -> tuple[str, str]:
        scaled = self._sum(f"{step}/scaled", [(row.input_scale, sample)])
        output = f"{step}/output"
        names = {n: self.names[role] for role, n in self.by_role.items() if role in self.names}
        names |= {self.by_role["sample"]: scaled, self.output: output}
        names[self.by_role["timestep"]] = self._per_item(f"{step}/timestep", row.timestep)
        if "guidance" in self.by_role:
            scale = self._per_item(f"{step}/guidance", self.guidance_scale)
            names[self.by_role["guidance"]] = scale
        self.fused.add_nodes(self.model, step, "denoise", names)
        terms = [(row.sample, sample), (row.output, output)]
        if row.history and memory:
            terms.append((row.history, memory))
        if row.noise:
            noise = (row.noise * self.draw()).astype(np.float32)
            terms.append((1.0, self._noise(f"{step}/noise", noise)))
        following = self._sum(f"{step}/sample", terms)
        if not (row.history_sample or row.history_output):
            return following, ""
        kept = [(row.history_sample, sample), (row.history_output, output)]
        return following, self._sum(f"{step}/memory", kept)

    def _blend(self, step: str, row: ScheduleRow, sample: str) -> str:
        """Keep the target outside the mask: m x' + (1 - m) k, as k + m (x' - k)."""
        noise = (row.blend_noise * self.first).astype(np.float32)
        terms = [(row.blend_signal, self.names[LATENTS])]
        if row.blend_noise:
            terms.append((1.0, self._noise(f"{step}/kept", noise)))
        kept = self._sum(f"{step}/kept/sample", terms)
        node, mask = self.fused.node, self.names[MASK]
        change = node("Sub", [sample, kept], f"{step}/blend/change")
        part = node("Mul", [mask, change], f"{step}/blend/part")
        return node("Add", [kept, part], f"{step}/blend")

    def _noise(self, name: str, values: NDArray[np.float32]) -> str:
        stored = self.fused.constant(f"{name}/noise", values)
        return stored if not self.free else self._expanded(name, stored, values.ndim)

    def _per_item(self, name: str, value: float) -> str:
        """Store a number and expand it over the batch, (N,)."""
        stored = self.fused.constant(f"{name}/value", np.array([value], np.float32))
        return stored if not self.free else self._expanded(name, stored, 1)

    def _expanded(self, name: str, stored: str, axes: int) -> str:
        """Repeat what is stored for each item of the batch."""
        shape = self.fused.node("Shape", [self.batch_of], f"{name}/shape", end=1)
        if axes > 1:
            ones = self.fused.constant(f"{name}/ones", np.ones(axes - 1, np.int64))
            shape = self.fused.node("Concat", [shape, ones], f"{name}/sizes", axis=0)
        return self.fused.node("Expand", [stored, shape], name)

    def _sum(self, name: str, terms: list[tuple[float, str]]) -> str:
        """Add a weighted sum; terms with factor 0 are left out, factor 1 is not multiplied."""
        parts = []
        for index, (factor, value) in enumerate((f, v) for f, v in terms if f != 0.0):
            part = value
            if factor != 1.0:
                by = self.fused.constant(f"{name}/factor{index}", np.array(factor, np.float32))
                part = self.fused.node("Mul", [value, by], f"{name}/part{index}")
            parts.append(part)
        total = parts[0]
        for index, part in enumerate(parts[1:]):
            total = self.fused.node("Add", [total, part], f"{name}/sum{index}")
        return total


def _shape(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim
