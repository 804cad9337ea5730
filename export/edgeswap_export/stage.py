"""Turn a checkpoint into a bundle: the stage behind `edgeswap export`."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import SamplingStart
from edgeswap_compress.conditioning.attention import use_fused_attention
from edgeswap_compress.data.assets import asset
from edgeswap_compress.fit.machine.device import AUTO, resolve_device
from edgeswap_export._config import LONGEST_NAME, ExportConfig, GraphsConfig, license_of
from edgeswap_export._requantize import requantize
from edgeswap_export._schedules import ScheduleRequest
from edgeswap_export._single_file import write_single_file
from edgeswap_export.graphs.compact import store_in_float16
from edgeswap_export.graphs.detector import (
    ASSET,
    FILE_NAME,
    LICENSE,
    ORIGIN,
    detector_entry,
    detector_graph,
)
from edgeswap_export.graphs.entries import graph_entries
from edgeswap_export.graphs.example import SwapExample, seeded_example
from edgeswap_export.graphs.finite import require_finite_answers
from edgeswap_export.graphs.joined.fuse import SINGLE_FILE
from edgeswap_export.graphs.joined.unroll import require_few_steps
from edgeswap_export.graphs.swap_graphs import SwapGraphs, swap_graphs
from edgeswap_export.graphs.to_onnx import to_onnx, write_onnx
from edgeswap_export.graphs.torch_graph import TorchGraph, batched
from edgeswap_export.graphs.wide_norms import split_wide_norms
from edgeswap_export.parity.prove import ParitySubject, prove, prove_batch
from edgeswap_export.precision.convert import Converted
from edgeswap_export.precision.layers import layer_types
from edgeswap_export.samplers.schedule import schedule_table
from edgeswap_runtime.bundle.manifest import (
    Graph,
    License,
    Manifest,
    Mask,
    Schedule,
    write_manifest,
)
from edgeswap_runtime.files import new_folder, require_folder

PACKAGES = ("edgeswap", "torch", "diffusers", "onnx", "onnxscript", "onnxruntime")
Progress = Callable[[str], None]


def export(
    checkpoint: Path | str,
    config: ExportConfig,
    out: Path | str,
    *,
    device: str = AUTO,
    progress: Progress = lambda line: None,
) -> Path:
    """Turn a checkpoint into a bundle and prove that both compute the same.

    The same checkpoint, config and package versions give the same bytes in every graph.

    Args:
        checkpoint: the checkpoint's folder.
        config: what to put into the bundle.
        out: folder of the bundle; it appears when it is complete and proven, or not at all.
        device: that torch computes the reference on, see `check_device`; the graphs are written
            and compared on the processor.
        progress: called with one line for each thing begun.

    Returns:
        `out`.

    Raises:
        OutputExists: `out` exists.
        InvalidSettings: the device is not there.
        BadFolder: there is no checkpoint.
        InvalidCheckpoint: the checkpoint is damaged.
        ExportError: the config asks for what cannot be written; the message says what.
        ParityFailed: ONNX Runtime and torch differ by more than the tolerance.
        GraphNotExported: a graph could not be written.
    """
    source = require_checkpoint(Path(checkpoint))
    on = str(resolve_device(device, training=False))
    with new_folder(Path(out)) as folder:
        progress(f"loading {source}")
        loaded = Checkpoint.load(source)
        requests = config.schedules.requests(loaded.swap, loaded.noise_settings["prediction_type"])
        loaded.swap = sampled_by(loaded.swap, requests)
        tables = _tables(loaded, requests)
        if config.single_file:
            require_few_steps(tables[requests[0].name])
        if config.detector:
            # First, because it may be missing and the rest takes minutes.
            write_onnx(folder, "detector", detector_graph(asset(ASSET) / FILE_NAME))
        sample = seeded_example(loaded.swap)
        made_of = _write_graphs(folder, loaded, sample, config.graphs, progress)
        subject = ParitySubject(
            checkpoint=loaded, swap_graphs=made_of, requests=requests, tables=tables, device=on
        )
        converted, parity = _proven(folder, subject, sample, config, progress)
        layers = {
            name: layer_types(onnx.load(folder / file, load_external_data=False))
            for name, file in subject.files.items()
        }
        manifest = _manifest(source, config, subject, converted, layers, parity)
        write_manifest(folder, manifest)
    return Path(out)


def _tables(checkpoint: Checkpoint, requests: Sequence[ScheduleRequest]) -> dict[str, Schedule]:
    settings = checkpoint.noise_settings
    return {
        r.name: schedule_table(settings, r.sampler, r.steps, r.options, r.path) for r in requests
    }


def sampled_by(swap: SwapConfig, requests: Sequence[ScheduleRequest]) -> SwapConfig:
    """State what all schedules need of the target, so that `encode` gives it.

    Args:
        swap: of the checkpoint.
        requests: the schedules.

    Raises:
        InvalidCheckpoint: samples are residuals, so that none can start at the target.
    """
    paths = [request.path for request in requests]
    strengths = [path.strength for path in paths if path.strength is not None]
    start = SamplingStart(at="target", strength=strengths[0]) if strengths else SamplingStart()
    blend = "latents" if any(path.blend for path in paths) else "none"
    return swap.sampled(start=start, blend=blend)


def _proven(
    folder: Path,
    subject: ParitySubject,
    sample: SwapExample,
    config: ExportConfig,
    progress: Progress,
) -> tuple[dict[str, Converted], dict[str, Any]]:
    """Prove the graphs, convert them, write the one file; give the conversions and the proofs."""
    parity = prove(folder, subject, sample, progress)
    if config.graphs.batch is not None:
        parity["batch"] = prove_batch(folder, subject, config.graphs.batch[2], progress)
    converted: dict[str, Converted] = {}
    if config.graphs.precision != "fp32":
        converted, proof = requantize(folder, subject, config.graphs, progress)
        parity = {**proof, "float32": parity}
    if config.single_file:
        progress(f"writing {SINGLE_FILE}")
        parity["single_file"] = write_single_file(folder, subject, sample, config.graphs.precision)
    return converted, parity


def _write_graphs(
    folder: Path,
    checkpoint: Checkpoint,
    sample: SwapExample,
    config: GraphsConfig,
    progress: Progress,
) -> SwapGraphs:
    """Write the float32 graphs, after a check that torch's own outputs are finite."""
    # One attention processor for every checkpoint: the same weights give the same graph.
    use_fused_attention(checkpoint.unet)
    graphs = swap_graphs(checkpoint, sample.target, sample.source, sample.noise)
    for name, graph in graphs.torch.items():
        require_finite_answers(name, graph.outputs)
    for name, path in graphs.paths.items():
        shutil.copyfile(path, folder / f"{name}.onnx")
    for file, value in graphs.constants.items():
        np.save(folder / file, np.ascontiguousarray(value.float().numpy()), allow_pickle=False)
    for name, graph in graphs.torch.items():
        progress(f"writing graph {name}")
        model = write_graph(name, graph, config.batch)
        split_wide_norms(model)
        if config.compact:
            store_in_float16(model)
        write_onnx(folder, name, model)
    return graphs


def require_checkpoint(path: Path) -> Path:
    """Check that a folder is a swap checkpoint; return it.

    Raises:
        BadFolder: it is none.
    """
    make = "edgeswap prune or edgeswap distill"
    return require_folder(path, what="checkpoint", holds="swap.json", make=make)


def write_graph(
    name: str, graph: TorchGraph, batch: tuple[int, int, int] | None
) -> onnx.ModelProto:
    """Write one graph as ONNX, with a fixed batch of one or with a dynamic batch.

    Args:
        name: the graph's name.
        graph: its module and example.
        batch: None for the fixed one.
    """
    if batch is None:
        return to_onnx(name, graph.module, graph.inputs, tuple(graph.outputs))
    example = batched(graph, 2).inputs
    axes = {key: {0: "batch"} for key in example}
    return to_onnx(name, graph.module, example, tuple(graph.outputs), axes)


def _manifest(
    checkpoint: Path,
    config: ExportConfig,
    subject: ParitySubject,
    converted: Mapping[str, Converted],
    layers: Mapping[str, dict[str, int]],
    parity: dict[str, Any],
) -> Manifest:
    swap = subject.checkpoint.swap
    entries = {
        name: _with_precision(entry, converted.get(name), layers[name])
        for name, entry in graph_entries(subject.swap_graphs, config.graphs.batch).items()
    }
    license_name, origin = license_of(config, swap)
    licenses = [License(what="swap model", license=license_name, origin=origin)]
    licenses += [
        License(what=one.what, license=one.license, origin=one.origin)
        for one in swap.licenses
        if one.what != "swap model"
    ]
    if config.detector:
        entries["detector"] = detector_entry("detector.onnx")
        licenses.append(License(what="face detector", license=LICENSE, origin=ORIGIN))
    stage = {"stage": "export", "config": config.to_json()}
    return Manifest(
        name=config.info.name or checkpoint.resolve().name[:LONGEST_NAME],
        made_with={name: importlib.metadata.version(name) for name in PACKAGES},
        crops=dict(swap.crops),
        mask=Mask(**asdict(swap.mask)),
        graphs=entries,
        guidance_scale=swap.guidance_scale,
        evaluations_per_step=1 if swap.guidance_scale == 1.0 else 2,
        schedules=dict(subject.tables),
        default_schedule=subject.requests[0].name,
        licenses=tuple(licenses),
        parity=parity,
        history=(*swap.history, stage),
    )


def _with_precision(entry: Graph, converted: Converted | None, layers: dict[str, int]) -> Graph:
    """State the precision that a graph was converted to."""
    if converted is None:
        return replace(entry, layers=layers)
    nodes = {reason: tuple(names) for reason, names in converted.float32_nodes.items()}
    return replace(entry, precision=converted.precision, float32_nodes=nodes, layers=layers)
