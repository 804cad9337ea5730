"""Refit an engine: give it the weights of another bundle's graph of the same structure.

A personalized student has the graphs of the student it was made from, with other weights.

Source:
    "Refitting an Engine" in NVIDIA's TensorRT documentation: an `OnnxParserRefitter` reads the new
    weights from the ONNX file, the `Refitter` puts them into the engine, which is written again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeswap_export.engine._errors import EngineFailed, UnsupportedEngine
from edgeswap_runtime.backends.trt_graph import deserialize, trt_logger
from edgeswap_runtime.bundle.engines import EngineInputs
from edgeswap_runtime.bundle.folder import Bundle


def source_of(
    bundle: Bundle, graph: str, wanted: EngineInputs, structure: str
) -> tuple[str, Path, EngineInputs]:
    """Find an engine of another bundle that can take a graph's weights.

    Args:
        bundle: the other bundle.
        graph: name of the graph, in both.
        wanted: what the new engine is to be made from.
        structure: `structure_sha256` of the new graph.

    Returns:
        its key, its file, and what it was made from.

    Raises:
        UnsupportedEngine: there is none that can be refitted; the message says why.
    """
    reasons = {}
    for key, entry in sorted(bundle.manifest.engines.items()):
        if entry.graph != graph:
            continue
        reason = _obstacle(entry.inputs, wanted)
        if reason is None and entry.structure_sha256 != structure:
            reason = "its graph is another one, not only its weights"
        if reason is None:
            return key, bundle.path / entry.file, entry.inputs
        reasons[key[:12]] = reason
    told = "; ".join(f"{key}: {reason}" for key, reason in reasons.items()) or "it holds none"
    raise UnsupportedEngine(
        f"no engine of {bundle.path} can take the weights of graph '{graph}' ({told}): build "
        "the engines again, with --refittable for the next time"
    )


def _obstacle(old: EngineInputs, wanted: EngineInputs) -> str | None:
    if (old.backend, old.version) != (wanted.backend, wanted.version):
        return f"it is of {old.backend} {old.version}, here is {wanted.backend} {wanted.version}"
    if not set(wanted.architectures) <= set(old.architectures):
        return f"it is for {', '.join(old.architectures).lower()}"
    if not old.flags.get("refit"):
        return "it was not built with --refittable"
    return None


def refit_engine(trt: Any, built: Path, onnx: Path, name: str) -> Any:
    """Read an engine, give it an ONNX file's weights, and serialize it again.

    The caller must have found a GPU driver.

    Args:
        trt: TensorRT's module.
        built: file of an engine that was built refittable.
        onnx: a graph of the same structure.
        name: for messages.

    Returns:
        the new engine, bytes-like.

    Raises:
        EngineFailed: TensorRT refuses; with what it logged.
    """
    logger = trt_logger(trt)
    runtime = trt.Runtime(logger)
    engine = deserialize(runtime, logger, built, name)
    if not engine.refittable:
        raise EngineFailed(f"{built}, graph '{name}', is not refittable, against its record")
    refitter = trt.Refitter(engine, logger)
    parser = trt.OnnxParserRefitter(refitter, logger)
    if not parser.refit_from_file(str(onnx)):
        errors = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise EngineFailed(
            f"TensorRT does not refit graph '{name}' from {onnx}: {errors or logger.drain()}"
        )
    missing = refitter.get_missing_weights()
    if missing:
        raise EngineFailed(
            f"TensorRT wants weights of graph '{name}' that {onnx} does not have: "
            f"{', '.join(sorted(missing)[:5])}"
        )
    if not refitter.refit_cuda_engine():
        raise EngineFailed(f"TensorRT could not refit graph '{name}': {logger.drain()}")
    return engine.serialize()
