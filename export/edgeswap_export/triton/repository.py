"""Turn a bundle into a Triton model repository: the stage behind `edgeswap triton`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.graphs.fuse import sampler_graph
from edgeswap_export.graphs.to_onnx import write_onnx
from edgeswap_export.triton._config import (
    ACCELERATORS,
    Batching,
    Step,
    ensemble_config,
    model_config,
)
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.bundle.manifest import Graph, Manifest, Tensor
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.files import new_folder, write_bytes

IMAGE = "nvcr.io/nvidia/tritonserver:24.12-py3"
CONDITION = ("tokens", "vector", "source_latents")

ENCODE = Step(
    model="encode", inputs={"target": "target"}, outputs={"target_latents": "target_latents"}
)
IDENTITY = Step(
    model="identity", inputs={"source": "source"}, outputs={name: name for name in CONDITION}
)
DENOISE = Step(
    model="denoise",
    inputs={name: name for name in ("target_latents", *CONDITION)},
    outputs={"sample": "sample"},
)
DECODE = Step(
    model="decode",
    inputs={name: name for name in ("sample", "target_latents")},
    outputs={"crop": "crop"},
)
ENSEMBLES: Mapping[str, tuple[tuple[str, ...], tuple[Step, ...]]] = {
    "swap": (("target", "source"), (ENCODE, IDENTITY, DENOISE, DECODE)),
    "swap_known": (("target", *CONDITION), (ENCODE, DENOISE, DECODE)),
}
"""Name -> its inputs and its models; the output of both is `crop`, and `alpha` where decode gives
it, see `_ensembles`.

`swap` takes both crops. `swap_known` takes the outputs of the model `identity` for a source, which
a client keeps for all its targets.
"""


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
    """Write a bundle as a model repository: four models and two ensembles of them.

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
    borders = _borders(manifest)
    with new_folder(Path(out)) as folder:
        for model_name, (inputs, outputs) in borders.items():
            model = onnx.load(given.path / manifest.graphs[model_name].file)
            if model_name == "denoise":
                schedule = manifest.schedules[name]
                model = sampler_graph(model, schedule, manifest.guidance_scale)
            (folder / model_name / "1").mkdir(parents=True)
            write_onnx(folder / model_name / "1", "model", model)
            text = model_config(model_name, inputs, outputs, batching, config.accelerator)
            _write(folder / model_name, text)
        known = {t.name: t for inputs, outputs in borders.values() for t in (*inputs, *outputs)}
        for ensemble, (names, steps) in _ensembles(manifest).items():
            (folder / ensemble / "1").mkdir(
                parents=True
            )  # Triton wants a version folder, though it is empty
            inputs_of = [known[name] for name in names]
            outputs_of = [known[name] for name in steps[-1].outputs.values()]
            text = ensemble_config(ensemble, inputs_of, outputs_of, batching, steps)
            _write(folder / ensemble, text)
    return Path(out)


def docker_line(folder: Path) -> str:
    """Return the command that starts the server; without a GPU leave --gpus out."""
    return (
        "docker run --rm --gpus all -p 8000:8000 -p 8001:8001 -p 8002:8002"
        f" -v {folder.resolve()}:/models {IMAGE} tritonserver --model-repository=/models"
    )


def _batching(bundle: Bundle, config: TritonConfig) -> Batching:
    sizes = {graph.dynamic_axes.get("batch") for graph in _served(bundle.manifest).values()}
    if len(sizes) != 1 or None in sizes:
        raise UnsupportedExport(
            f"{bundle.path} has graphs of a fixed batch, which cannot be served in batches: export"
            " the checkpoint with --batch MIN:OPT:MAX, such as 1:4:8"
        )
    _, usual, largest = next(size for size in sizes if size is not None)
    return Batching(largest=largest, preferred=usual, delay_us=config.delay_us)


def _served(manifest: Manifest) -> dict[str, Graph]:
    return {step.model: manifest.graphs[step.model] for step in ENSEMBLES["swap"][1]}


def _ensembles(manifest: Manifest) -> Mapping[str, tuple[tuple[str, ...], tuple[Step, ...]]]:
    """Return `ENSEMBLES`, whose decode sees the target's crop and gives alpha where it does."""
    if all(tensor.name != "alpha" for tensor in manifest.graphs["decode"].outputs):
        return ENSEMBLES
    decode = replace(
        DECODE,
        inputs={**DECODE.inputs, "target": "target"},
        outputs={**DECODE.outputs, "alpha": "alpha"},
    )
    return {name: (inputs, (*steps[:-1], decode)) for name, (inputs, steps) in ENSEMBLES.items()}


def _borders(manifest: Manifest) -> dict[str, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
    """Return model name -> inputs and outputs; the denoiser's are those of the whole sampler."""
    served = _served(manifest)
    borders: dict[str, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]
    borders = {name: (graph.inputs, graph.outputs) for name, graph in served.items()}
    denoise = served["denoise"]
    inputs = tuple(denoise.input(name) for name in DENOISE.inputs)
    borders["denoise"] = (inputs, (denoise.input("sample"),))
    return borders


def _write(folder: Path, text: str) -> None:
    write_bytes(folder / "config.pbtxt", text.encode("utf-8"))
