"""Check that the parts of a manifest fit each other."""

from __future__ import annotations

import itertools
import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from edgeswap_runtime.bundle.schema import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgeswap_runtime.bundle._engine_entry import EngineEntry
    from edgeswap_runtime.bundle.manifest_parts import Alignment, FileEntry, Graph

_CONDITION = frozenset({"tokens", "vector", "source_latents"})
GRAPH_TENSORS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "encode": (frozenset({"target"}), frozenset({"target_latents"})),
    "identity": (frozenset({"source"}), _CONDITION),
    "denoise": (
        frozenset({"sample", "timestep", "target_latents"}) | _CONDITION,
        frozenset({"output"}),
    ),
    "decode": (frozenset({"sample", "target_latents"}), frozenset({"crop"})),
    "detector": (
        frozenset({"input"}),
        frozenset(f"{kind}_{s}" for kind in ("cls", "obj", "bbox", "kps") for s in (8, 16, 32)),
    ),
}
"""Graph name -> the names of its inputs and outputs. `denoise` may also take `guidance`."""

DETECTOR = "detector"
"""The one graph that may be left out: the bundle then swaps aligned crops only."""

MAX_CANVAS_PX = 1280
"""Longest side of a detector's fixed input."""
_CROPS = (("encode", "target"), ("identity", "source"), ("decode", "crop"))
_LATENTS = (
    ("denoise", "target_latents"), ("denoise", "source_latents"), ("denoise", "output"),
    ("encode", "target_latents"), ("identity", "source_latents"),
    ("decode", "sample"), ("decode", "target_latents"),
)  # fmt: skip


def check_paths(files: Iterable[str]) -> None:
    """Raise SchemaError unless every file lies inside the bundle."""
    for name in files:
        relative = PurePosixPath(name)
        odd = any(mark in name for mark in ("\\", ":", "\0"))
        if relative.is_absolute() or ".." in relative.parts or odd or not relative.parts:
            raise SchemaError(f"files names '{name}', expected a path inside the bundle")


def check_graphs(graphs: Mapping[str, Graph], files: Mapping[str, FileEntry]) -> None:
    """Raise SchemaError unless the graphs are those of a bundle, with the tensors they must have.

    Args:
        graphs: name -> graph.
        files: of the bundle; empty while it is being made.
    """
    found_graphs, known = set(graphs), set(GRAPH_TENSORS)
    if found_graphs | {DETECTOR} != known:
        raise SchemaError(
            f"graphs are {sorted(found_graphs)}, expected {sorted(known)}, of which only "
            f"'{DETECTOR}' may be left out"
        )
    for name, graph in graphs.items():
        inputs, outputs = GRAPH_TENSORS[name]
        optional = {"guidance"} if name == "denoise" else set()
        _check_names(f"graphs.{name} takes", (t.name for t in graph.inputs), inputs, optional)
        _check_names(f"graphs.{name} gives", (t.name for t in graph.outputs), outputs, set())
        if files and graph.file not in files:
            raise SchemaError(f"graphs.{name} names {graph.file}, which files does not list")


def check_shapes(graphs: Mapping[str, Graph], resolution_px: int) -> None:
    """Raise SchemaError unless the outputs of one graph fit the inputs of the next."""
    crop = ("batch", 3, resolution_px, resolution_px)
    for graph, name in _CROPS:
        _check_shape(graphs, graph, name, crop)
    latents = ("batch", *graphs["denoise"].input("sample").shape[1:])
    if len(latents) != 4:
        raise SchemaError(f"graphs.denoise.sample has {len(latents)} axes, expected 4")
    for graph, name in _LATENTS:
        _check_shape(graphs, graph, name, latents)
    for name, axes in (("tokens", 3), ("vector", 2)):
        shape = graphs["denoise"].input(name).shape
        if len(shape) != axes:
            raise SchemaError(f"graphs.denoise.{name} has {len(shape)} axes, expected {axes}")
        _check_shape(graphs, "identity", name, ("batch", *shape[1:]))
    for tensor in graphs["denoise"].inputs:
        if tensor.name in ("timestep", "guidance"):
            _check_shape(graphs, "denoise", tensor.name, ("batch",))
    if DETECTOR in graphs:
        _check_canvas(graphs[DETECTOR].input("input").shape)


def check_alignment(alignment: Alignment, resolution_px: int) -> None:
    """Raise SchemaError unless the landmarks are those of a face that the crop shows."""
    points = alignment.landmarks_px
    spread = max(math.dist(a, b) for a, b in itertools.combinations(points, 2))
    center = [sum(axis) / len(points) for axis in zip(*points, strict=True)]
    if not resolution_px / 16 <= spread <= 2 * resolution_px:
        raise SchemaError(
            f"alignment.landmarks_px are {spread:.3g} px apart at most, expected "
            f"{resolution_px / 16:g} to {2 * resolution_px} in a crop of {resolution_px} px"
        )
    if not all(0 <= value <= resolution_px for value in center):
        raise SchemaError(
            f"alignment.landmarks_px lie around {center}, expected inside a crop of "
            f"{resolution_px} px"
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


def _check_names(
    what: str, found: Iterable[str], expected: frozenset[str], optional: set[str]
) -> None:
    names = list(found)
    if set(names) - optional != expected or len(set(names)) != len(names):
        raise SchemaError(f"{what} {sorted(set(names) - optional)}, expected {sorted(expected)}")


def _check_shape(
    graphs: Mapping[str, Graph], graph: str, name: str, expected: tuple[int | str, ...]
) -> None:
    """Compare the sizes that are numbers; the batch may be free or 1."""
    tensors = {t.name: t for t in (*graphs[graph].inputs, *graphs[graph].outputs)}
    shape = tensors[name].shape
    fits = len(shape) == len(expected) and all(
        a == b or isinstance(a, str) or isinstance(b, str)
        for a, b in zip(shape, expected, strict=True)
    )
    if not fits or (isinstance(shape[0], int) and shape[0] != 1):
        raise SchemaError(f"graphs.{graph}.{name} has shape {shape}, expected {expected}")


def _check_canvas(shape: tuple[int | str, ...]) -> None:
    sides = [size for size in shape[2:] if isinstance(size, int)]
    if len(shape) != 4 or any(side % 32 or side > MAX_CANVAS_PX for side in sides):
        raise SchemaError(
            f"graphs.{DETECTOR}.input has shape {shape}, expected (1, 3, height, width) of "
            f"multiples of 32 up to {MAX_CANVAS_PX}"
        )
