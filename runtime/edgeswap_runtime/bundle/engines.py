"""Find the TensorRT engine of a bundle that fits this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeswap_runtime.bundle._engine_entry import (
    AMPERE_PLUS,
    JETSONS,
    RTX,
    SAME_COMPUTE_CAPABILITY,
    STANDARD,
    EngineEntry,
    EngineInputs,
    Shapes,
)
from edgeswap_runtime.errors import EngineMissing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgeswap_runtime.bundle.folder import Bundle

__all__ = [
    "AMPERE_PLUS",
    "JETSONS",
    "RTX",
    "SAME_COMPUTE_CAPABILITY",
    "STANDARD",
    "EngineEntry",
    "EngineInputs",
    "EngineTarget",
    "Shapes",
    "find_engine",
    "onnx_hashes",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTarget:
    """What an engine must be made for to run here: backend, library version, architecture."""

    backend: str
    version: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.architecture} with {self.backend} {self.version}"


def onnx_hashes(files: Mapping[str, str], file: str) -> dict[str, str]:
    """Return the sha256 of a graph's file and of its weights' file, if it has one.

    Args:
        files: path in the bundle -> sha256, of all files.
        file: the graph's path in the bundle.
    """
    return {name: files[name] for name in (file, f"{file}.data") if name in files}


def find_engine(bundle: Bundle, graph: str, target: EngineTarget) -> tuple[str, Path]:
    """Find the engine of a graph that was built for a target from exactly this graph.

    Among several, one built for this architecture alone wins, then the one that takes the larger
    inputs, then the first by key.

    Returns:
        the engine's key and its file.

    Raises:
        EngineMissing: none fits; the message lists those that are there and why they do not.
    """
    files = {name: entry.sha256 for name, entry in bundle.manifest.files.items()}
    hashes = onnx_hashes(files, bundle.manifest.graphs[graph].file)
    entries = [(k, e) for k, e in sorted(bundle.manifest.engines.items()) if e.graph == graph]
    fitting = [(k, e) for k, e in entries if _misfit(e.inputs, hashes, target) is None]
    if fitting:
        key, entry = min(fitting, key=lambda item: _rank(item[1].inputs))
        return key, bundle.path / entry.file
    held = "; ".join(
        f"{', '.join(e.inputs.architectures)} with {e.inputs.backend} {e.inputs.version}"
        f" ({_misfit(e.inputs, hashes, target)})"
        for _, e in entries
    )
    raise EngineMissing(
        bundle.path, graph, wanted=str(target), held=held or "none", make=_command(bundle, target)
    )


def _misfit(inputs: EngineInputs, hashes: dict[str, str], target: EngineTarget) -> str | None:
    """Return why an engine cannot be used; None if it can."""
    if inputs.backend != target.backend:
        return "another backend"
    if inputs.onnx != hashes:
        return "made from another graph"
    if inputs.version != target.version:
        return "another version"
    if target.architecture in inputs.architectures:
        return None
    # https://docs.nvidia.com/deeplearning/tensorrt: not on Jetson, and not before Ampere.
    beyond = inputs.flags.get("hardware_compatibility") == AMPERE_PLUS
    if beyond and target.architecture not in JETSONS and int(target.architecture[2:]) >= 80:
        return None
    return "another architecture"


def _rank(inputs: EngineInputs) -> tuple[int, int]:
    largest = sum(shapes[2][0] for shapes in inputs.profiles.values() if shapes[2])
    return len(inputs.architectures), -largest


def _command(bundle: Bundle, target: EngineTarget) -> str:
    where = f" --gpu {target.architecture.lower()}" if target.backend == RTX else ""
    return f"edgeswap engine {bundle.path} NEW_BUNDLE --backend {target.backend}{where}"
