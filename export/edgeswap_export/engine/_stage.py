"""Build engines into a bundle: the stage behind `edgeswap engine`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeswap_export.engine._architectures import (
    check_precision,
)
from edgeswap_export.engine._build import EngineRequest, Progress, build_engine, timing_cache_file
from edgeswap_export.engine._config import BuilderOptions, EngineConfig
from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_export.engine._machine import Machine, machine_for
from edgeswap_export.engine._profiles import check_sizes, profiles
from edgeswap_export.engine._refit import refit_engine, source_of
from edgeswap_export.engine._structure import structure_sha256
from edgeswap_runtime.backends.cuda import Gpu
from edgeswap_runtime.bundle.engines import (
    RTX,
    EngineEntry,
    EngineInputs,
    onnx_hashes,
)
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.bundle.manifest import FILE_NAME, Graph, write_manifest
from edgeswap_runtime.bundle.schema import encode
from edgeswap_runtime.cache import cache_folder
from edgeswap_runtime.files import new_folder, write_bytes, write_json

_MIB = 1 << 20


def engine(
    bundle: Path | str,
    config: EngineConfig,
    out: Path | str,
    *,
    progress: Progress = lambda line: None,
) -> Path:
    """Make a bundle with engines of another one; what that one holds is copied unchanged.

    Args:
        bundle: the bundle's folder.
        config: which engines.
        out: folder of the new bundle; it appears when every engine is built, or not at all.
        progress: called with one line for each thing begun.

    Returns:
        `out`.

    Raises:
        OutputExists: `out` exists.
        BadBundle: the bundle is damaged.
        BackendMissing: this backend of TensorRT is not installed.
        DeviceNotGranted: the backend needs a GPU, and there is none.
        UnsupportedEngine: bundle, GPU and settings do not fit together; before anything is built.
        EngineFailed: TensorRT could not build or refit an engine, with its message.
    """
    with new_folder(Path(out)) as folder:
        given = Bundle.open(bundle)
        graphs = _chosen(given, config)
        # Refuse what can be refused before a library is loaded.
        check_sizes(graphs, config.sizes)
        shapes = {name: profiles(name, graph, config.sizes) for name, graph in graphs.items()}
        for name, graph in graphs.items():
            check_precision(name, graph.precision, config.gpus)
        machine = machine_for(config)
        for name, graph in graphs.items():
            check_precision(name, graph.precision, machine.gpus)
        shutil.copytree(
            given.path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(FILE_NAME)
        )
        engines = dict(given.manifest.engines)
        for name, graph in graphs.items():
            inputs = _inputs(given, graph, config, machine, shapes[name])
            if config.refit is not None:
                key, entry = _refitted(name, graph, config.refit, machine, inputs, folder)
                progress(f"{name}: refitted {entry.inputs.refitted_from} as {key}")
            elif inputs.key in engines:
                progress(f"{name}: engine {inputs.key} is there already")
                continue
            else:
                key, entry = _built(name, graph, config, machine, inputs, folder, progress)
            engines[key] = entry
        stage = {"stage": "engine", "config": config.to_json()}
        history = (*given.manifest.history, stage)
        changed = replace(given.manifest, engines=engines, history=history, files={})
        write_manifest(folder, changed)
    return Path(out)


def _chosen(bundle: Bundle, config: EngineConfig) -> dict[str, Graph]:
    graphs = bundle.manifest.graphs
    for name in config.graphs:
        if name not in graphs:
            raise UnsupportedEngine(
                f"{bundle.path} has no graph '{name}': expected some of {', '.join(sorted(graphs))}"
            )
    return {
        n: graph for n, graph in sorted(graphs.items()) if not config.graphs or n in config.graphs
    }


def _inputs(
    bundle: Bundle,
    graph: Graph,
    config: EngineConfig,
    machine: Machine,
    shapes: Mapping[str, Any],
) -> EngineInputs:
    flags = _flags(config.builder, machine.gpu)
    hashes = {name: entry.sha256 for name, entry in bundle.manifest.files.items()}
    return EngineInputs(
        onnx=onnx_hashes(hashes, graph.file),
        backend=config.backend,
        version=machine.trt.__version__,
        architectures=machine.architectures,
        precision=graph.precision,
        profiles=dict(shapes),
        flags=flags,
    )


def _flags(options: BuilderOptions, gpu: Gpu | None) -> dict[str, Any]:
    """Name the builder options that are not the default, as they enter the engine's key."""
    flags: dict[str, Any] = {}
    if options.refittable:
        flags["refit"] = True
    if options.tf32:
        flags["tf32"] = True
    if options.hardware_compatibility is not None:
        flags["hardware_compatibility"] = options.hardware_compatibility
    if options.optimization_level is not None:
        flags["optimization_level"] = options.optimization_level
    if options.workspace_mib is not None:
        flags["workspace_bytes"] = options.workspace_mib * _MIB
    elif gpu is not None and gpu.integrated:
        # The CPU shares this memory: the system would stop a builder that takes all of it.
        flags["workspace_bytes"] = gpu.memory_bytes // 4 // _MIB * _MIB
    return flags


def _built(
    name: str,
    graph: Graph,
    config: EngineConfig,
    machine: Machine,
    inputs: EngineInputs,
    folder: Path,
    progress: Progress,
) -> tuple[str, EngineEntry]:
    """Build one engine into the folder."""
    progress(f"{name}: building for {', '.join(machine.gpus)}")
    request = EngineRequest(
        name=name,
        onnx=folder / graph.file,
        profiles=inputs.profiles,
        gpus=config.gpus if config.backend == RTX else (),
        flags=inputs.flags,
        timing_cache=_timing_cache(config, machine),
    )
    built = build_engine(machine.trt, request, progress)
    structure = structure_sha256(folder / graph.file)
    facts = {
        "plan_sha256": built.sha256,
        "bytes": memoryview(built.data).nbytes,
        "layers": built.layers,
        "tensors": built.tensors,
        "warnings": list(built.warnings),
    }
    return _stored(name, inputs, structure, built.data, facts, folder)


def _refitted(
    name: str, graph: Graph, source: str, machine: Machine, inputs: EngineInputs, folder: Path
) -> tuple[str, EngineEntry]:
    """Refit another bundle's engine with this graph's weights, into the folder."""
    onnx = folder / graph.file
    structure = structure_sha256(onnx)
    old_key, old_file, old = source_of(Bundle.open(source), name, inputs, structure)
    data = refit_engine(machine.trt, old_file, onnx, name)
    taken = replace(
        inputs,
        architectures=old.architectures,
        profiles=old.profiles,
        flags=old.flags,
        refitted_from=old_key,
    )
    facts = {"bytes": memoryview(data).nbytes, "refitted_from": old_key}
    return _stored(name, taken, structure, data, facts, folder)


def _stored(
    name: str,
    inputs: EngineInputs,
    structure: str,
    data: Any,
    facts: Mapping[str, Any],
    folder: Path,
) -> tuple[str, EngineEntry]:
    """Write an engine and, beside it, what it was made from."""
    key = inputs.key
    home = folder / "engines" / key
    home.mkdir(parents=True)
    write_bytes(home / f"{name}.plan", data)
    entry = EngineEntry(
        graph=name,
        file=f"engines/{key}/{name}.plan",
        structure_sha256=structure,
        inputs=inputs,
    )
    write_json(home / "engine.json", {"key": key, **encode(entry), **facts})
    return key, entry


def _timing_cache(config: EngineConfig, machine: Machine) -> Path | None:
    """Name the file for kernel times; None where no kernels are timed on a GPU."""
    if not config.builder.timing_cache or config.backend == RTX or machine.gpu is None:
        return None
    return timing_cache_file(
        cache_folder() / "tensorrt",
        version=machine.trt.__version__,
        architecture=machine.gpu.architecture,
        name=machine.gpu.name,
    )
