"""The export stage: a checkpoint folder in, a proven bundle folder out."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
from diffusers.models.attention_processor import AttnProcessor2_0

from edgeswap_compress._checkpoint import Checkpoint
from edgeswap_compress._swap_config import SwapConfig
from edgeswap_compress.data._assets import asset
from edgeswap_export._config import ExportConfig, ScheduleRequest
from edgeswap_export._detector import (
    ASSET,
    FILE_NAME,
    LICENCE,
    ORIGIN,
    detector_entry,
    detector_graph,
)
from edgeswap_export._graphs import AXES, TorchGraph, torch_graphs
from edgeswap_export._parity import (
    graph_parity,
    open_graphs,
    swap_parity,
    swap_with_runtime,
    swap_with_torch,
)
from edgeswap_export._probe import SEED, Probe, probe
from edgeswap_export._samplers._noise import noise_levels
from edgeswap_export._schedule import SAMPLERS, schedule_table
from edgeswap_export._to_onnx import serialise, to_onnx
from edgeswap_runtime._atomic import new_folder, write_bytes
from edgeswap_runtime._manifest import (
    Alignment,
    Graph,
    Licence,
    Manifest,
    Mask,
    Schedule,
    Tensor,
    write_manifest,
)

PACKAGES = ("edgeswap", "torch", "diffusers", "onnx", "onnxscript", "onnxruntime")
Progress = Callable[[str], None]


def export(
    checkpoint_path: Path | str,
    config: ExportConfig,
    out: Path | str,
    progress: Progress = lambda line: None,
) -> Path:
    """Turn a checkpoint into a bundle and prove that both compute the same.

    The same checkpoint, config and package versions give the same bytes in every graph.

    Args:
        checkpoint_path: The checkpoint folder.
        config: What to put into the bundle.
        out: The bundle folder to make; it appears when it is complete and proven, or not at all.
        progress: Called with one line per thing begun.

    Returns:
        ``out``.

    Raises:
        OutputExists: ``out`` exists.
        InvalidCheckpoint: The checkpoint is damaged.
        ExportError: The config asks for what cannot be written; the message says what.
        ParityFailed: ONNX Runtime and torch differ by more than the stated tolerance.
        GraphFailed: A graph could not be written.
    """
    with new_folder(Path(out)) as folder:
        progress(f"loading {checkpoint_path}")
        checkpoint = Checkpoint.load(checkpoint_path)
        requests = config.requests(checkpoint.swap)
        settings = dict(checkpoint.scheduler.config)
        tables = {r.name: schedule_table(settings, r.sampler, r.steps, r.options) for r in requests}
        if config.detector:
            # Before the minutes of work: it may be missing.
            write_graph(folder, "detector", detector_graph(asset(ASSET) / FILE_NAME))
        # 24 nodes fewer than the plain processor, 1-2 % faster in ONNX Runtime at the default size.
        checkpoint.unet.set_attn_processor(AttnProcessor2_0())
        sample = probe(checkpoint.swap)
        graphs = torch_graphs(checkpoint, sample.target, sample.source, sample.noise)
        for name, graph in graphs.items():
            progress(f"writing graph {name}")
            write_graph(
                folder, name, to_onnx(name, graph.module, graph.inputs, tuple(graph.outputs))
            )
        parity = prove(folder, checkpoint, graphs, requests, tables, sample, progress)
        manifest = _manifest(
            Path(checkpoint_path), checkpoint.swap, config, graphs, tables, requests[0].name, parity
        )
        write_manifest(folder, manifest)
    return Path(out)


def write_graph(folder: Path, name: str, model: onnx.ModelProto) -> None:
    """Write one graph into the bundle as NAME.onnx."""
    write_bytes(folder / f"{name}.onnx", serialise(model))


def prove(
    folder: Path,
    checkpoint: Checkpoint,
    graphs: Mapping[str, TorchGraph],
    requests: tuple[ScheduleRequest, ...],
    tables: Mapping[str, Schedule],
    sample: Probe,
    progress: Progress,
) -> dict[str, Any]:
    """Compare the written graphs, then every whole swap that diffusers can also make, with torch.

    Returns:
        The manifest's "parity": each difference with its tolerance, what was compared and how.

    Raises:
        ParityFailed: A difference is above its tolerance.
    """
    backend = open_graphs(folder, {name: f"{name}.onnx" for name in graphs})
    try:
        progress("comparing each graph with torch")
        report = graph_parity(backend, graphs)
        swaps: dict[str, Any] = {}
        levels = noise_levels(dict(checkpoint.scheduler.config))
        for request in requests:
            entry = SAMPLERS[request.sampler]
            scheduler = entry.twin(levels, request.options or entry.options())
            if scheduler is None:
                swaps[request.name] = "not compared: diffusers has no such sampler"
                continue
            progress(f"comparing swaps by {request.name} with torch")
            found = swap_with_runtime(
                backend, tables[request.name], sample, checkpoint.swap.guidance_scale
            )
            expected = swap_with_torch(checkpoint, scheduler, request.steps, sample)
            swaps[request.name] = swap_parity(request.name, found, expected)
    finally:
        backend.close()
    return {
        "backend": "onnxruntime cpu fp32",
        "reference": "torch cpu fp32",
        "probe_seed": SEED,
        "graphs": report,
        "swaps": swaps,
    }


def _manifest(
    checkpoint_path: Path,
    swap: SwapConfig,
    config: ExportConfig,
    graphs: Mapping[str, TorchGraph],
    tables: Mapping[str, Schedule],
    default: str,
    parity: dict[str, Any],
) -> Manifest:
    entries = {name: _entry(name, graph) for name, graph in graphs.items()}
    licences = [Licence(what="swap model", licence=config.licence, origin=config.origin)]
    if config.detector:
        entries["detector"] = detector_entry("detector.onnx")
        licences.append(Licence(what="face detector", licence=LICENCE, origin=ORIGIN))
    stage = {"stage": "export", "config": config.to_json()}
    return Manifest(
        name=config.name or checkpoint_path.resolve().name,
        made_with={name: importlib.metadata.version(name) for name in PACKAGES},
        resolution_px=swap.resolution_px,
        alignment=Alignment(landmarks_px=swap.landmarks_px),
        mask=Mask(**asdict(swap.mask)),
        graphs=entries,
        guidance_scale=swap.guidance_scale,
        evaluations_per_step=1 if swap.guidance_scale == 1.0 else 2,
        schedules=dict(tables),
        default_schedule=default,
        licences=tuple(licences),
        parity=parity,
        history=(*swap.history, stage),
    )


def _entry(name: str, graph: TorchGraph) -> Graph:
    inputs, outputs = (
        tuple(
            Tensor(name=key, dtype="float32", shape=tuple(value.shape), axes=AXES[key])
            for key, value in tensors.items()
        )
        for tensors in (graph.inputs, graph.outputs)
    )
    return Graph(file=f"{name}.onnx", precision="fp32", inputs=inputs, outputs=outputs)
