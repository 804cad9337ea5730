"""Prove the exported graphs: first in float32, then in the bundle's precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import SamplingStart
from edgeswap_export._schedules import ScheduleRequest, is_large
from edgeswap_export.calibration import Feeds
from edgeswap_export.graphs.example import SEED, SwapExample
from edgeswap_export.graphs.swap_graphs import SwapGraphs, pictures_by_role
from edgeswap_export.graphs.torch_graph import TorchGraph, batched
from edgeswap_export.parity._bisect import Divergence, first_divergence, onnx_values, torch_values
from edgeswap_export.parity._resting import RestingWeights
from edgeswap_export.parity.compare import (
    GRAPH_TOLERANCE,
    graph_parity,
    open_graphs,
    output_parity,
    run_graph,
    swap_parity,
    swap_with_runtime,
    swap_with_torch,
)
from edgeswap_export.precision.convert import Converted, allowed
from edgeswap_export.precision.run import Feed, MemoryBackend
from edgeswap_export.samplers.options import SamplingPath
from edgeswap_export.samplers.schedule import reference_scheduler
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.backends.protocol import Backend
from edgeswap_runtime.bundle.manifest import Schedule

Progress = Callable[[str], None]

NOT_INSPECTED = "its layers were not compared, which takes hours at this size"

NOT_COMPARED = "not compared: diffusers has no such sampler"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParitySubject:
    """A checkpoint and all that was made of it, to be compared.

    Attributes:
        checkpoint: the reference, in float32.
        swap_graphs: all that the graphs were made of, with examples.
        requests: the schedules, the default one first.
        tables: name of a schedule -> its table.
        device: that torch computes the reference on.
        resting: the weights of the reference, where they lie on disk.
    """

    checkpoint: Checkpoint
    swap_graphs: SwapGraphs
    requests: tuple[ScheduleRequest, ...]
    tables: Mapping[str, Schedule]
    device: str = "cpu"
    resting: RestingWeights | None = None

    @contextmanager
    def reference(self) -> Iterator[torch.device]:
        """Hold the modules on the device for a block, in exact float32; then on the processor."""
        device = torch.device(self.device)
        parts = list(self.checkpoint.modules().values())
        if self.resting is not None:
            self.resting.load()
        with torch.backends.cudnn.flags(allow_tf32=False):
            try:
                for part in parts:
                    nn.Module.to(part, device)
                yield device
            finally:
                for part in parts:
                    nn.Module.to(part, "cpu")
                if self.resting is not None:
                    self.resting.drop()

    @contextmanager
    def at_rest(self, folder: Path) -> Iterator[ParitySubject]:
        """Keep the weights of a large reference in a folder for a block, but in `reference`."""
        if not is_large(self.checkpoint.swap):
            yield self
            return
        resting = RestingWeights(self.checkpoint.modules().values(), folder / "reference.pt")
        try:
            yield replace(self, resting=resting)
        finally:
            resting.end()

    @property
    def graphs(self) -> Mapping[str, TorchGraph]:
        """Name of a graph that is written -> its torch module with an example."""
        return self.swap_graphs.torch

    @property
    def files(self) -> dict[str, str]:
        """Name of every graph -> its file in the bundle."""
        return {n: f"{n}.onnx" for n in (*self.swap_graphs.torch, *self.swap_graphs.files)}


def prove(
    folder: Path, subject: ParitySubject, sample: SwapExample, progress: Progress
) -> dict[str, Any]:
    """Compare the float32 graphs with torch, then whole swaps by every schedule diffusers has.

    Args:
        folder: holds the graphs.
        subject: what they were made from.
        sample: the swap to compare.
        progress: called with one line for each thing begun.

    Returns:
        the manifest's "parity": each difference with its tolerance, what was compared and how.

    Raises:
        ParityFailed: a difference is above its tolerance; the message names the first layer.
    """

    def inspect(name: str) -> Divergence | str | None:
        if is_large(subject.checkpoint.swap):
            return NOT_INSPECTED
        graph = subject.graphs[name]
        feed = {key: value.numpy() for key, value in graph.inputs.items()}
        model = onnx.load(folder / f"{name}.onnx")
        return first_divergence(model, feed, torch_values(name, graph), GRAPH_TOLERANCE)

    backend = open_graphs(folder, subject.files)
    try:
        progress("comparing each graph with torch")
        report = graph_parity(backend, subject.graphs, inspect=inspect)
        swaps = _swaps(backend, subject, sample, "fp32", progress)
    finally:
        backend.close()
    return {
        "backend": "onnxruntime cpu fp32",
        "reference": f"torch {subject.device} fp32",
        "probe_seed": SEED,
        "graphs": report,
        "swaps": swaps,
    }


def prove_batch(
    folder: Path, subject: ParitySubject, count: int, progress: Progress
) -> dict[str, Any]:
    """Compare the float32 graphs with torch on a batch.

    Args:
        folder: holds the graphs.
        subject: what they were made from.
        count: size of the batch.
        progress: called with one line.

    Returns:
        the size of the batch and the differences, for the manifest.

    Raises:
        ParityFailed: a difference is above its tolerance.
    """
    progress(f"comparing each graph with torch on a batch of {count}")
    graphs = {name: batched(graph, count) for name, graph in subject.graphs.items()}
    backend = open_graphs(folder, {name: f"{name}.onnx" for name in graphs})
    try:
        return {"size": count, "graphs": graph_parity(backend, graphs)}
    finally:
        backend.close()


@dataclass(frozen=True, slots=True)
class ConvertedGraphs:
    """Converted graphs that are to be proven.

    Attributes:
        folder: holds their files.
        converted: name of a graph -> its conversion.
        originals: name of a graph -> the proven float32 graph.
        budget: the loss that quantization was allowed, of LOSS_BUDGETS.
    """

    folder: Path
    converted: Mapping[str, Converted]
    originals: Mapping[str, onnx.ModelProto]
    budget: float

    @property
    def precision(self) -> str:
        """Of all of them."""
        return next(iter(self.converted.values())).precision


def _as_run(converted: Converted) -> tuple[onnx.ModelProto, str]:
    """The graph that shows a conversion's numbers on this processor, and how it is optimized."""
    return converted.emulation(), converted.level


def prove_precision(
    subject: ParitySubject,
    candidate: ConvertedGraphs,
    feeds: Feeds,
    sample: SwapExample,
    progress: Progress,
) -> dict[str, Any]:
    """Compare converted graphs with torch, on faces that were not used for calibration.

    Args:
        subject: the reference.
        candidate: the converted graphs.
        feeds: name of a graph -> inputs from swaps of other faces.
        sample: one of these swaps.
        progress: called with one line for each thing begun.

    Returns:
        the manifest's "parity".

    Raises:
        ParityFailed: as `prove`.
    """
    converted, precision = candidate.converted, candidate.precision
    tolerances = _tolerances(subject, precision, candidate.budget)
    progress(f"comparing each {precision} graph with torch")

    def inspect(name: str) -> Divergence | str | None:
        if is_large(subject.checkpoint.swap):
            return NOT_INSPECTED
        suspect, original, feed = converted[name], candidate.originals[name], feeds[name][0]
        reference, (model, level) = onnx_values(original, feed), _as_run(suspect)
        return first_divergence(model, feed, reference, tolerances[name], level, original)

    report: dict[str, dict[str, Any]] = {}
    for name in subject.graphs:  # one after the other: large ones do not fit beside each other
        backend: OrtBackend | MemoryBackend = MemoryBackend({name: _as_run(converted[name])})
        found = _stacked([run_graph(backend, name, feed) for feed in feeds[name]])
        backend.close()
        expected = _stacked(_reference_answers(subject, name, feeds[name]))
        report[name] = output_parity(name, found, expected, tolerances[name], inspect)
    looked_at = pictures_by_role(subject.checkpoint, sample.target, sample.source)
    subject = replace(subject, swap_graphs=replace(subject.swap_graphs, pictures=looked_at))
    runs_here = all(c.low is None or c.precision == "fp16" for c in converted.values())
    how = f"onnxruntime cpu {precision}"
    if runs_here:
        backend = open_graphs(candidate.folder, subject.files)
    else:
        given = {n: (onnx.load(path), "all") for n, path in subject.swap_graphs.paths.items()}
        backend = MemoryBackend({**given, **{n: _as_run(c) for n, c in converted.items()}})
    swaps = _swaps(backend, subject, sample, precision, progress)
    backend.close()
    rounded = any(c.low is not None for c in converted.values())
    return {
        "backend": f"{how}, every result rounded in emulation" if rounded else how,
        "swaps_backend": how if runs_here else f"{how}, in emulation",
        "reference": f"torch {subject.device} fp32",
        "graphs": report,
        "swaps": swaps,
        "conversions": {name: entry.to_json() for name, entry in converted.items()},
    }


def _tolerances(subject: ParitySubject, precision: str, budget: float) -> dict[str, float]:
    """Give what each graph may differ; guidance multiplies what the denoiser's does."""
    guidance = subject.checkpoint.swap.guidance_scale
    return {
        name: allowed(precision, budget, guidance if name == "denoise" else 1.0)
        for name in subject.graphs
    }


def _reference_answers(
    subject: ParitySubject, name: str, feeds: Sequence[Feed]
) -> list[dict[str, NDArray[np.float32]]]:
    """Ask torch for a graph's outputs, for each of the inputs."""
    with subject.reference() as device:
        return [torch_answers(subject.graphs[name], feed, device) for feed in feeds]


def _swaps(
    backend: Backend[Any],
    subject: ParitySubject,
    sample: SwapExample,
    precision: str,
    progress: Progress,
) -> dict[str, Any]:
    swaps: dict[str, Any] = {}
    config = subject.checkpoint.noise_settings
    for request in subject.requests:
        scheduler = reference_scheduler(config, request.sampler, request.options, request.path)
        if scheduler is None:
            swaps[request.name] = NOT_COMPARED
            continue
        progress(f"comparing swaps by {request.name} with torch")
        scale = subject.checkpoint.swap.guidance_scale
        table = subject.tables[request.name]
        found = swap_with_runtime(backend, subject.swap_graphs, table, sample, scale)
        alone = replace(
            subject.checkpoint, swap=sampled_along(subject.checkpoint.swap, request.path)
        )
        with subject.reference():
            expected = swap_with_torch(alone, scheduler, request.steps, sample)
        swaps[request.name] = swap_parity(request.name, found, expected, precision)
    return swaps


def sampled_along(swap: SwapConfig, path: SamplingPath) -> SwapConfig:
    """State the start and the blending of one schedule as the checkpoint's."""
    start = SamplingStart()
    if path.strength is not None:
        start = SamplingStart(at="target", strength=path.strength)
    return swap.sampled(start=start, blend="latents" if path.blend else "none")


@torch.no_grad()
def torch_answers(
    graph: TorchGraph, feed: Feed, device: torch.device
) -> dict[str, NDArray[np.float32]]:
    """What torch says to one graph's inputs: output -> array."""
    outputs = graph.module(*(torch.from_numpy(feed[name]).to(device) for name in graph.inputs))
    return {name: value.cpu().numpy() for name, value in zip(graph.outputs, outputs, strict=True)}


def _stacked(answers: list[dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    """Join the outputs of several runs: name -> one array."""
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
