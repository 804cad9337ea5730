"""Build one TensorRT engine from one ONNX graph; the same code for both backends and all versions.

Networks are strongly typed: the types in the ONNX file say which precision each operator has. This
is the only way that TensorRT 10.3 to 11 and TensorRT for RTX share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeswap_export.engine._errors import EngineFailed, UnsupportedEngine
from edgeswap_runtime.backends.trt_graph import trt_logger
from edgeswap_runtime.bundle.engines import AMPERE_PLUS, Shapes
from edgeswap_runtime.files import canonical_json, write_bytes

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """What one engine is to be built from.

    Attributes:
        name: the graph's name, for messages.
        onnx: the ONNX file; a file of its weights, if any, lies beside it.
        profiles: input with dynamic axes -> smallest, usual and largest shape.
        gpus: GPUs to build ahead of time for, such as "sm86"; empty for the GPU of this machine.
        flags: builder options that are not the default, as they enter the engine's key: "refit",
            "tf32", "hardware_compatibility", "workspace_bytes", "optimization_level".
        timing_cache: file that keeps the measured kernel times; None keeps none.
    """

    name: str
    onnx: Path
    profiles: Mapping[str, Shapes] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    flags: Mapping[str, Any] = field(default_factory=dict)
    timing_cache: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializedEngine:
    """An engine as TensorRT serializes it.

    Attributes:
        data: bytes-like, in TensorRT's own memory: large engines are not copied.
        sha256: of `data`, 64 hex digits.
        layers: how many layers the network has.
        tensors: name -> {"mode", "dtype", "shape"} of inputs and outputs; -1 is a dynamic axis.
        warnings: TensorRT's warnings in order, none twice.
    """

    data: Any
    sha256: str
    layers: int
    tensors: dict[str, dict[str, Any]]
    warnings: tuple[str, ...]


def build_engine(
    trt: Any, request: EngineRequest, progress: Progress = lambda line: None
) -> SerializedEngine:
    """Build an engine.

    With `tensorrt` the caller must have found a GPU driver: without one TensorRT may crash.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        request: what to build.
        progress: called with one line for each phase.

    Raises:
        EngineFailed: TensorRT could not parse or build the graph; with all that it logged.
        UnsupportedEngine: this TensorRT lacks an option that was asked for.
    """
    logger = trt_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, logger, request)
    config = builder.create_builder_config()
    _configure(trt, config, request)
    if request.profiles:
        _add_profile(builder, config, request)
    # The configuration does not keep the monitor alive: this name does, for the whole build.
    monitor = _monitor(trt, request.name, progress)
    config.progress_monitor = monitor
    cache = _attach_cache(config, request.timing_cache)
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise EngineFailed(
            f"TensorRT {trt.__version__} could not build graph '{request.name}'"
            f"{_for(request.gpus)}: {_with_hint(logger.drain())}"
        )
    if cache is not None:
        _keep_cache(config, cache)
    return SerializedEngine(
        data=built,
        sha256=hashlib.sha256(memoryview(built)).hexdigest(),
        layers=network.num_layers,
        tensors=_tensors(network),
        warnings=tuple(dict.fromkeys(logger.warnings)),
    )


def _parse(trt: Any, network: Any, logger: Any, request: EngineRequest) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse_from_file(str(request.onnx)):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    said = "; ".join(
        f"{error.desc()} (node {error.node()} {error.node_operator()} {error.node_name()})"
        for error in errors
    )
    raise EngineFailed(
        f"TensorRT {trt.__version__} does not take graph '{request.name}' of {request.onnx}: "
        f"{' '.join((said or logger.drain()).split())}"
    )


def _configure(trt: Any, config: Any, request: EngineRequest) -> None:
    flags = request.flags
    if request.gpus:
        config.num_compute_capabilities = len(request.gpus)
        for index, gpu in enumerate(request.gpus):
            config.set_compute_capability(getattr(trt.ComputeCapability, gpu.upper()), index)
    if not flags.get("tf32"):
        # TensorRT's default: float32 products would be computed with 10 bits.
        config.clear_flag(trt.BuilderFlag.TF32)
    if flags.get("refit"):
        config.set_flag(trt.BuilderFlag.REFIT)
    if "workspace_bytes" in flags:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, flags["workspace_bytes"])
    if "optimization_level" in flags:
        config.builder_optimization_level = flags["optimization_level"]
    level = flags.get("hardware_compatibility")
    if level is not None:
        name = "AMPERE_PLUS" if level == AMPERE_PLUS else "SAME_COMPUTE_CAPABILITY"
        if not hasattr(trt.HardwareCompatibilityLevel, name):
            raise UnsupportedEngine(
                f"TensorRT {trt.__version__} has no hardware compatibility '{level}': a newer one "
                f"has, or take {AMPERE_PLUS}"
            )
        config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, name)


def _add_profile(builder: Any, config: Any, request: EngineRequest) -> None:
    profile = builder.create_optimization_profile()
    for name, shapes in request.profiles.items():
        profile.set_shape(name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise EngineFailed(f"TensorRT does not take the profile of graph '{request.name}'")


def _monitor(trt: Any, name: str, progress: Progress) -> Any:
    """Report TensorRT's phases as lines: the outermost ones and those directly inside them."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.depths: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            depth = 0 if parent_phase is None else self.depths.get(parent_phase, 0) + 1
            self.depths[phase_name] = depth
            if depth <= 1:
                progress(f"{name}: {phase_name} ({num_steps} steps)")

        def phase_finish(self, phase_name: str) -> None:
            self.depths.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True

    return Monitor()


@dataclass(frozen=True, slots=True)
class _TimingCache:
    file: Path
    cache: Any


def _attach_cache(config: Any, file: Path | None) -> _TimingCache | None:
    """Give the builder the kept kernel times; begin with none where TensorRT refuses them."""
    if file is None:
        return None
    kept = file.read_bytes() if file.is_file() else b""
    cache = config.create_timing_cache(kept)
    if not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return _TimingCache(file, cache)


def _keep_cache(config: Any, held: _TimingCache) -> None:
    held.file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(held.file, bytes(memoryview(config.get_timing_cache().serialize())))


def timing_cache_file(folder: Path, *, version: str, architecture: str, name: str) -> Path:
    """Name the file for the kernel times of one GPU model and one TensorRT version."""
    facts = {"version": version, "architecture": architecture, "gpu": name}
    return folder / f"timing-{hashlib.sha256(canonical_json(facts)).hexdigest()}.cache"


def _tensors(network: Any) -> dict[str, dict[str, Any]]:
    both = [("input", network.get_input(i)) for i in range(network.num_inputs)]
    both += [("output", network.get_output(i)) for i in range(network.num_outputs)]
    return {
        tensor.name: {
            "mode": mode,
            "dtype": tensor.dtype.name.lower(),
            "shape": [int(size) for size in tensor.shape],
        }
        for mode, tensor in both
    }


def _for(gpus: tuple[str, ...]) -> str:
    return f" for {', '.join(gpus)}" if gpus else ""


def _with_hint(said: str) -> str:
    """Add what to do where TensorRT refuses an operator on Turing GPUs."""
    if "check_turing_op_compatibility" in said:
        return f"{said}; leave sm75 out of --gpu, or export with --precision fp16"
    return said
