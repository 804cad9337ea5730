"""Turn a bundle into a Triton model repository: the stage behind `edgeswap triton`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.graphs.joined.unroll import sampler_graph, sampler_roles
from edgeswap_export.graphs.role_names import (
    bind_constants,
    constants_of,
    filled,
    value_names,
)
from edgeswap_export.graphs.to_onnx import write_onnx
from edgeswap_export.triton._config import (
    ACCELERATORS,
    Batching,
    Step,
    ensemble_config,
    model_config,
)
from edgeswap_runtime.bundle.constants import read_constants
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.bundle.manifest import Graph, Manifest, Schedule, Tensor
from edgeswap_runtime.bundle.roles import output_role, parse_role
from edgeswap_runtime.bundle.run_order import DECODE, DENOISE, DETECTOR, find_run_order
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.files import new_folder, write_bytes

IMAGE = "nvcr.io/nvidia/tritonserver:24.12-py3"
SWAP, SWAP_KNOWN = ENSEMBLES = ("swap", "swap_known")
"""The ensembles. `swap` takes all crops. `swap_known` takes those of the target, and what the
source's graphs gave for a source, which a client keeps for all its targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonConfig:
    """How a bundle is served.

    Attributes:
        schedule: name of a schedule of the bundle; None for its default.
        delay_us: microseconds that a request waits for others to share a batch, at least 0.
        accelerator: "tensorrt" lets ONNX Runtime compile the graphs on a GPU; None does not.
    """

    schedule: str | None = None
    delay_us: int = 1000
    accelerator: str | None = None

    def __post_init__(self) -> None:
        if self.delay_us < 0:
            raise UnsupportedExport(f"a queue delay of {self.delay_us} µs: expected at least 0")
        if self.accelerator not in (None, *ACCELERATORS):
            raise UnsupportedExport(
                f"accelerator '{self.accelerator}': expected {' or '.join(ACCELERATORS)}"
            )


def triton(bundle: Path | str, config: TritonConfig, out: Path | str) -> Path:
    """Write a bundle as a model repository: a model for each graph, and two ensembles of them.

    Args:
        bundle: folder of a bundle with a dynamic batch.
        config: how to serve it.
        out: the folder to make; it appears when it is complete, or not at all.

    Returns:
        `out`.

    Raises:
        BadBundle: the bundle is damaged.
        DamagedFile: likewise.
        InvalidRequest: it has no such schedule.
        UnsupportedExport: its batch is fixed, or the schedule has too many steps for one graph.
        OutputExists: `out` exists.
    """
    given = Bundle.open(bundle)
    manifest = given.manifest
    batching = _batching(given, config)
    name = manifest.default_schedule if config.schedule is None else config.schedule
    if name not in manifest.schedules:
        raise InvalidRequest(
            f"{given.path} has no schedule '{name}': expected one of "
            f"{', '.join(sorted(manifest.schedules))}"
        )
    served = _Served(given, manifest.schedules[name])
    with new_folder(Path(out)) as folder:
        for model_name, (model, inputs, outputs) in served.models().items():
            (folder / model_name / "1").mkdir(parents=True)
            write_onnx(folder / model_name / "1", "model", model)
            text = model_config(model_name, inputs, outputs, batching, config.accelerator)
            _write(folder / model_name, text)
        for ensemble in ENSEMBLES:
            # Triton wants a version folder, though it is empty.
            (folder / ensemble / "1").mkdir(parents=True)
            inputs, outputs, steps = served.ensemble(known=ensemble == SWAP_KNOWN)
            text = ensemble_config(ensemble, inputs, outputs, batching, steps)
            _write(folder / ensemble, text)
    return Path(out)


class _Served:
    """The models of a bundle with one of its schedules, and what goes between them.

    Args:
        bundle: that is served.
        schedule: that is unrolled around the denoiser.
    """

    def __init__(self, bundle: Bundle, schedule: Schedule) -> None:
        self._bundle, self._schedule = bundle, schedule
        self._graphs, self._names = bundle.manifest.graphs, value_names(bundle.manifest.graphs)
        self._order = find_run_order(self._graphs)
        self._sampler_roles = sampler_roles(self._graphs[DENOISE], schedule)

    def models(self) -> dict[str, tuple[onnx.ModelProto, Sequence[Tensor], Sequence[Tensor]]]:
        """Name of a model -> its graph, inputs and outputs; the denoiser is the whole sampler."""
        scale = self._bundle.manifest.guidance_scale
        constants = read_constants(self._bundle)
        models = {}
        for name, graph in _served(self._bundle.manifest).items():
            models[name] = onnx.load(self._bundle.path / graph.file)
            bind_constants(models[name], graph, constants)
        denoise = self._graphs[DENOISE]
        models[DENOISE] = sampler_graph(models, denoise, self._schedule, self._names, scale)
        return {name: (model, *self._borders(name)) for name, model in models.items()}

    def ensemble(self, *, known: bool) -> tuple[list[Tensor], list[Tensor], list[Step]]:
        """Inputs, outputs and steps of the whole swap; with `known` without the source's graphs."""
        order = self._order
        source = () if known else (*order.per_photo, *order.per_source)
        steps = [self._step(name) for name in (*source, *order.per_target, DENOISE, DECODE)]
        given = order.identity if known else order.source_roles
        # The crop that is swapped first, as in the single file.
        inputs = [self._tensor(role) for role in (*order.target_roles, *given)]
        return inputs, list(self._graphs[DECODE].outputs), steps

    def _borders(self, name: str) -> tuple[list[Tensor], list[Tensor]]:
        if name == DENOISE:
            sample = replace(self._input("sample"), name="sample")
            return [self._tensor(role) for role in self._sampler_roles], [sample]
        graph = self._graphs[name]
        fixed = constants_of(graph)
        return [t for t in graph.inputs if t.name not in fixed], list(graph.outputs)

    def _step(self, name: str) -> Step:
        if name == DENOISE:
            inputs = {self._names[role]: self._names[role] for role in self._sampler_roles}
            return Step(model=name, inputs=inputs, outputs={"sample": "sample"})
        graph = self._graphs[name]
        taken = filled(graph, self._names)
        outputs = {
            t.name: t.name if name == DECODE else self._names[output_role(name, t.name)]
            for t in graph.outputs
        }
        return Step(
            model=name, inputs={t: self._names[r] for t, r in taken.items()}, outputs=outputs
        )

    def _tensor(self, role: str) -> Tensor:
        """What fills a role, under its name between the graphs."""
        parsed = parse_role(role)
        if parsed.kind == "output":
            found: Tensor = self._graphs[parsed.name].output(parsed.part)
        else:
            found = self._input(role)
        return replace(found, name=self._names[role])

    def _input(self, role: str) -> Tensor:
        """The first input that a role fills, as a plain tensor."""
        tensors = (graph.input_of_role(role) for graph in self._graphs.values())
        found = next(tensor for tensor in tensors if tensor is not None)
        return Tensor(name=found.name, dtype=found.dtype, shape=found.shape, axes=found.axes)


def docker_line(folder: Path) -> str:
    """Return the command that starts the server; without a GPU leave --gpus out."""
    return (
        "docker run --rm --gpus all -p 8000:8000 -p 8001:8001 -p 8002:8002"
        f" -v {folder.resolve()}:/models {IMAGE} tritonserver --model-repository=/models"
    )


def _batching(bundle: Bundle, config: TritonConfig) -> Batching:
    served = _served(bundle.manifest)
    sizes = {graph.dynamic_axes.get("batch") for graph in served.values()} - {None}
    fixed = sorted(name for name, graph in served.items() if not _is_free(graph))
    if len(sizes) != 1 or fixed:
        raise UnsupportedExport(
            f"{bundle.path} has graphs of a fixed batch ({', '.join(fixed)}), which cannot be"
            " served in batches: export the checkpoint with --batch MIN:OPT:MAX, such as 1:4:8;"
            " a recognizer's file must take any batch"
        )
    _, usual, largest = next(size for size in sizes if size is not None)
    return Batching(largest=largest, preferred=usual, delay_us=config.delay_us)


def _is_free(graph: Graph) -> bool:
    """Whether every input but constants, and every output, has a free batch."""
    fixed = constants_of(graph)
    tensors = [*(t for t in graph.inputs if t.name not in fixed), *graph.outputs]
    return all(isinstance(tensor.shape[0], str) for tensor in tensors)


def _served(manifest: Manifest) -> dict[str, Graph]:
    return {name: graph for name, graph in manifest.graphs.items() if name != DETECTOR}


def _write(folder: Path, text: str) -> None:
    write_bytes(folder / "config.pbtxt", text.encode("utf-8"))
