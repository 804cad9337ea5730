"""Check that the parts of a manifest fit each other."""

from __future__ import annotations

import itertools
import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from edgeswap_runtime.bundle.manifest_parts import MODEL_CROP
from edgeswap_runtime.bundle.run_order import DETECTOR
from edgeswap_runtime.bundle.schema import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgeswap_runtime.bundle._engine_entry import EngineEntry
    from edgeswap_runtime.bundle.manifest_parts import CropSpec, FileEntry, Graph

DETECTOR_OUTPUTS = frozenset(
    f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)
)
"""Names of what the detector gives."""
MODEL_OUTPUTS = {"denoise": {"output"}, "decode": {"crop", "alpha"}}
"""Graph -> all outputs that it may have; of decode's only `alpha` may be left out."""


def check_paths(files: Iterable[str]) -> None:
    """Raise SchemaError unless every file lies inside the bundle."""
    for name in files:
        relative = PurePosixPath(name)
        odd = any(mark in name for mark in ("\\", ":", "\0"))
        if relative.is_absolute() or ".." in relative.parts or odd or not relative.parts:
            raise SchemaError(f"files names '{name}', expected a path inside the bundle")


def check_graphs(graphs: Mapping[str, Graph], files: Mapping[str, FileEntry]) -> None:
    """Raise SchemaError unless tensors have names of their own, and files are the bundle's.

    Args:
        graphs: name -> graph.
        files: of the bundle; empty while it is being made.
    """
    for name, graph in graphs.items():
        for word, tensors in (("takes", graph.inputs), ("gives", graph.outputs)):
            names = [tensor.name for tensor in tensors]
            if len(set(names)) != len(names):
                raise SchemaError(f"graphs.{name} {word} {sorted(names)}, expected each name once")
        used = [graph.file, *_constants(graph)]
        for file in used if files else ():
            if file not in files:
                raise SchemaError(f"graphs.{name} names {file}, which files does not list")
        given = {tensor.name for tensor in graph.outputs}
        expected = MODEL_OUTPUTS.get(name, given)
        if name == DETECTOR:
            expected = set(DETECTOR_OUTPUTS)
            _check_detector(graph)
        if given != expected and given != expected - {"alpha"}:
            raise SchemaError(f"graphs.{name} gives {sorted(given)}, expected {sorted(expected)}")


def check_crops(crops: Mapping[str, CropSpec]) -> None:
    """Raise SchemaError unless each crop shows the face whose landmarks it states."""
    if MODEL_CROP not in crops:
        raise SchemaError(f"crops are {sorted(crops)}, expected '{MODEL_CROP}' among them")
    for name, crop in crops.items():
        points, size_px = crop.landmarks_px, crop.size_px
        spread = max(math.dist(a, b) for a, b in itertools.combinations(points, 2))
        center = [sum(axis) / len(points) for axis in zip(*points, strict=True)]
        if not size_px / 16 <= spread <= 2 * size_px:
            raise SchemaError(
                f"crops.{name}.landmarks_px are {spread:.3g} px apart at most, expected "
                f"{size_px / 16:g} to {2 * size_px} in a crop of {size_px} px"
            )
        if not all(0 <= value <= size_px for value in center):
            raise SchemaError(
                f"crops.{name}.landmarks_px lie around {center}, expected inside a crop of "
                f"{size_px} px"
            )


def check_engines(
    engines: Mapping[str, EngineEntry],
    graphs: Mapping[str, Graph],
    files: Mapping[str, FileEntry],
) -> None:
    """Raise SchemaError unless each engine has its own key, a graph and a file."""
    for key, entry in engines.items():
        if key != entry.inputs.key:
            raise SchemaError(f"engines.{key} was made from inputs whose key is {entry.inputs.key}")
        if entry.graph not in graphs:
            raise SchemaError(f"engines.{key} is of an unknown graph '{entry.graph}'")
        if files and entry.file not in files:
            raise SchemaError(f"engines.{key} names {entry.file}, which files does not list")


def _constants(graph: Graph) -> list[str]:
    roles = [tensor.parsed_role for tensor in graph.inputs]
    return [role.name for role in roles if role.kind == "constant"]


def _check_detector(graph: Graph) -> None:
    names = [tensor.name for tensor in graph.inputs]
    if names != ["input"]:
        raise SchemaError(f"graphs.{DETECTOR} takes {sorted(names)}, expected ['input']")
