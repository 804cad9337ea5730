"""The engine stage: a bundle in, the same bundle with plans in `engines/` out."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeswap_export.engine._architectures import (
    check_compatibility,
    check_precision,
)
from edgeswap_export.engine._build import EngineRequest, Progress, build_engine, timing_cache_file
from edgeswap_export.engine._config import EngineConfig
from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_export.engine._profiles import check_sizes, profiles
from edgeswap_export.engine._refit import refit_plan, source_of
from edgeswap_export.engine._structure import structure_sha256
from edgeswap_runtime.backends import BACKENDS
from edgeswap_runtime.backends.cuda import Gpu, require_gpu
from edgeswap_runtime.backends.tensorrt import MODULES, load_library
from edgeswap_runtime.bundle.engines import (
    RTX,
    STANDARD,
    EngineEntry,
    EngineInputs,
    onnx_hashes,
)
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.bundle.manifest import FILE_NAME, Graph, write_manifest
from edgeswap_runtime.bundle.schema import encode
from edgeswap_runtime.cache import cache_folder
from edgeswap_runtime.errors import BackendMissing, DeviceNotGranted
from edgeswap_runtime.files import new_folder, write_bytes, write_json

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """What engines are made with.

    Attributes:
        trt: TensorRT's module.
        architectures: what they are for.
        gpu: the one at hand; None where they are built ahead of time.
    """

    trt: Any
    architectures: tuple[str, ...]
    gpu: Gpu | None


def engine(
    bundle_path: Path | str,
    config: EngineConfig,
    out: Path | str,
    progress: Progress = lambda line: None,
) -> Path:
    """Give a bundle engines; graphs, tables and engines it has already are taken over as they are.

    Args:
        bundle_path: The bundle folder.
        config: Which engines.
        out: The bundle folder to make; it appears when every engine is built, or not at all.
        progress: Called with one line per thing begun.

    Returns:
        ``out``.

    Raises:
        OutputExists: ``out`` exists.
        BadBundle: The bundle is damaged.
        BackendMissing: This backend of TensorRT is not installed.
        DeviceNotGranted: It needs a GPU, and there is none.
        UnsupportedEngine: What was asked for cannot be; told before anything is built.
        EngineFailed: TensorRT refused, with its own words.
    """
    with new_folder(Path(out)) as folder:
        bundle = Bundle.open(bundle_path)
        graphs = _chosen(bundle, config)
        # Everything that can be refused is, before a library is loaded.
        check_sizes(graphs, config.sizes)
        shapes = {name: profiles(name, graph, config.sizes) for name, graph in graphs.items()}
        for name, graph in graphs.items():
            check_precision(name, graph.precision, config.targets)
        machine = _machine(config)
        for name, graph in graphs.items():
            check_precision(name, graph.precision, machine.architectures)
        shutil.copytree(
            bundle.path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(FILE_NAME)
        )
        engines = dict(bundle.manifest.engines)
        for name, graph in graphs.items():
            inputs = _inputs(bundle, graph, config, machine, shapes[name])
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
        history = (*bundle.manifest.history, stage)
        changed = replace(bundle.manifest, engines=engines, history=history, files={})
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


def _machine(config: EngineConfig) -> _Machine:
    """The library, and the GPU where one is needed.

    Raises:
        BackendMissing: no library.
        DeviceNotGranted: no GPU, where one is needed.
        UnsupportedEngine: RTX is asked for what it only does with a GPU, and there is none.
    """
    trt = _library(config.backend)
    if config.backend == STANDARD:
        gpu = require_gpu(_cuda(), 0)
        check_compatibility(config.hardware_compatibility, STANDARD, gpu.architecture)
        return _Machine(trt=trt, architectures=(gpu.architecture,), gpu=gpu)
    if config.refittable or config.refit is not None:
        what = "refits" if config.refit is not None else "makes refittable engines"
        try:
            gpu = require_gpu(_cuda(), 0)
        except DeviceNotGranted as error:
            raise UnsupportedEngine(
                f"TensorRT for RTX {what} only where it sees a GPU ({error}): do it on the GPU's "
                "machine, or build the engine anew, which takes seconds"
            ) from error
        if config.refit is not None:
            return _Machine(trt=trt, architectures=(gpu.architecture,), gpu=gpu)
    return _Machine(trt=trt, architectures=config.targets, gpu=None)


def _library(backend: str) -> Any:
    name = MODULES[backend]
    try:
        return load_library(backend)
    except BackendMissing:
        raise
    except ModuleNotFoundError as error:
        raise BackendMissing(name, known=sorted(BACKENDS), install=BACKENDS[name][1]) from error


def _cuda() -> Any:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ModuleNotFoundError as error:
        raise BackendMissing(
            "cuda", known=sorted(BACKENDS), install="python -m pip install 'edgeswap[trt]'"
        ) from error


def _inputs(
    bundle: Bundle,
    graph: Graph,
    config: EngineConfig,
    machine: _Machine,
    shapes: Mapping[str, Any],
) -> EngineInputs:
    flags: dict[str, Any] = {}
    if config.refittable:
        flags["refit"] = True
    if config.tf32:
        flags["tf32"] = True
    if config.hardware_compatibility is not None:
        flags["hardware_compatibility"] = config.hardware_compatibility
    if config.optimization_level is not None:
        flags["optimization_level"] = config.optimization_level
    if config.workspace_mib is not None:
        flags["workspace_bytes"] = config.workspace_mib * _MIB
    elif machine.gpu is not None and machine.gpu.integrated:
        # The builder would take all of what is the CPU's memory too, and the system would stop it.
        flags["workspace_bytes"] = machine.gpu.memory_bytes // 4 // _MIB * _MIB
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


def _built(
    name: str,
    graph: Graph,
    config: EngineConfig,
    machine: _Machine,
    inputs: EngineInputs,
    folder: Path,
    progress: Progress,
) -> tuple[str, EngineEntry]:
    """Build one plan into the folder."""
    progress(f"{name}: building for {', '.join(inputs.architectures)}")
    request = EngineRequest(
        name=name,
        onnx=folder / graph.file,
        profiles=inputs.profiles,
        targets=config.targets if config.backend == RTX else (),
        flags=inputs.flags,
        timing_cache=_timing_cache(config, machine),
    )
    plan = build_engine(machine.trt, request, progress)
    structure = structure_sha256(folder / graph.file)
    facts = {
        "plan_sha256": plan.sha256,
        "bytes": memoryview(plan.data).nbytes,
        "layers": plan.layers,
        "tensors": plan.tensors,
        "warnings": list(plan.warnings),
    }
    return _stored(name, inputs, structure, plan.data, facts, folder)


def _refitted(
    name: str, graph: Graph, source: str, machine: _Machine, inputs: EngineInputs, folder: Path
) -> tuple[str, EngineEntry]:
    """Give another bundle's engine this graph's weights, into the folder."""
    onnx = folder / graph.file
    structure = structure_sha256(onnx)
    old_key, plan_file, old = source_of(Bundle.open(source), name, inputs, structure)
    data = refit_plan(machine.trt, plan_file, onnx, name)
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
    """The plan and, beside it, what it is."""
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


def _timing_cache(config: EngineConfig, machine: _Machine) -> Path | None:
    """Only what times kernels on the GPU has timings to keep."""
    if not config.timing_cache or config.backend == RTX or machine.gpu is None:
        return None
    return timing_cache_file(
        cache_folder() / "tensorrt",
        version=machine.trt.__version__,
        architecture=machine.gpu.architecture,
        name=machine.gpu.name,
    )
