"""The bundle's manifest: what every graph, table and file of it is, as frozen values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from edgeswap_runtime import _schema
from edgeswap_runtime._atomic import canonical_json, sha256_file, write_json
from edgeswap_runtime._errors import BadBundle, NewerSchema
from edgeswap_runtime._plan import EngineEntry

SCHEMA = 1
KIND = "edgeswap-bundle"
FILE_NAME = "manifest.json"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output of a graph.

    Attributes:
        name: its name in the ONNX file.
        dtype: numpy's name, such as "float32".
        shape: sizes; a name where the size is free.
        axes: what each axis is, such as ("batch", "channel", "height", "width").
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.axes):
            raise _schema.SchemaError(
                f"tensor '{self.name}' has shape {self.shape} but axes {self.axes}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One ONNX file: its path in the bundle, its precision, its tensors.

    Attributes:
        islands: why nodes are in float32 nevertheless -> their names in the ONNX file.
        free_sizes: name of a free size in the shapes -> the least, the usual and the largest it
            was made for.
        layers: element type of the weights, such as "float16" -> how many layers keep theirs so.
    """

    file: str
    precision: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    islands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    free_sizes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)

    def input(self, name: str) -> Tensor:
        """The input of that name; KeyError if there is none."""
        return {tensor.name: tensor for tensor in self.inputs}[name]

    def output(self, name: str) -> Tensor:
        """The output of that name; KeyError if there is none."""
        return {tensor.name: tensor for tensor in self.outputs}[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """One evaluation of the denoiser, as scalars.

    With the sample x, the history m and standard normal noise eps:
    o = model(input_scale * x, timestep), x' = sample * x + output * o + noise * eps + history * m,
    m' = history_sample * x + history_output * o; m starts at 0.
    """

    timestep: float
    input_scale: float = 1.0
    sample: float
    output: float
    noise: float = 0.0
    history: float = 0.0
    history_sample: float = 0.0
    history_output: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A sampler reduced to a table; x starts at `initial_noise_scale * eps`."""

    sampler: str
    steps: int
    initial_noise_scale: float
    rows: tuple[ScheduleRow, ...]

    def __post_init__(self) -> None:
        if not self.rows or self.steps < 1:
            raise _schema.SchemaError(f"schedule '{self.sampler}' has no rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Where the five landmarks lie in the crop: (5, 2) pixels, centres at integers."""

    landmarks_px: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.landmarks_px) != 5:
            raise _schema.SchemaError(
                f"alignment.landmarks_px has {len(self.landmarks_px)} points, expected 5"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A soft superellipse in the crop: |x/rx|^n + |y/ry|^n <= 1, feathered inwards."""

    centre_px: tuple[float, float]
    radii_px: tuple[float, float]
    exponent: float
    feather_px: float

    def __post_init__(self) -> None:
        if min(*self.radii_px, self.exponent) <= 0 or self.feather_px < 0:
            raise _schema.SchemaError(f"mask {_schema.encode(self)} is not a superellipse")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """What a file's bytes must be."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """Licence and origin of one set of weights."""

    what: str
    licence: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that a bundle states about itself; README.md has the table of fields.

    Raises:
        _schema.SchemaError: on construction, when fields contradict one another.
    """

    schema: int = SCHEMA
    kind: str = KIND
    name: str
    made_with: dict[str, str]
    resolution_px: int
    colour_order: str = "RGB"
    value_range: tuple[float, float] = (-1.0, 1.0)
    alignment: Alignment
    mask: Mask
    graphs: dict[str, Graph]
    guidance_scale: float = 1.0
    evaluations_per_step: int = 1
    schedules: dict[str, Schedule]
    default_schedule: str
    engines: dict[str, EngineEntry] = field(default_factory=dict)
    files: dict[str, FileEntry] = field(default_factory=dict)
    licences: tuple[Licence, ...] = ()
    quality: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    history: tuple[Any, ...] = ()
    manifest_sha256: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_constants(self)
        _check_graphs(self)
        _check_engines(self)
        if self.default_schedule not in self.schedules:
            raise _schema.SchemaError(
                f"default_schedule '{self.default_schedule}' is none of {sorted(self.schedules)}"
            )

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON, `manifest_sha256` computed afresh."""
        body: dict[str, Any] = _schema.encode(self)
        body["manifest_sha256"] = _self_hash(body)
        return body


def read_manifest(bundle: Path) -> Manifest:
    """Read and validate `manifest.json` of a bundle folder; its files are not touched.

    Raises:
        BadBundle: no manifest, not JSON, its own hash is wrong, or a field is.
        NewerSchema: it was written by a newer edgeswap.
    """
    path = bundle / FILE_NAME
    if not bundle.is_dir():
        raise BadBundle(bundle, "there is no such folder: edgeswap export makes one")
    if not path.is_file():
        raise BadBundle(bundle, f"it holds no {FILE_NAME}: edgeswap export makes a bundle")
    try:
        body = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except ValueError as error:
        raise BadBundle(bundle, f"{FILE_NAME} is not JSON ({error})") from error
    if not isinstance(body, dict) or body.get("kind") != KIND or "schema" not in body:
        raise BadBundle(bundle, f"{FILE_NAME} does not state a schema and kind '{KIND}'")
    schema = body["schema"]
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchema(bundle, found=schema, known=SCHEMA)
    stated, actual = body.get("manifest_sha256"), _self_hash(body)
    if stated != actual:
        raise BadBundle(
            bundle, f"{FILE_NAME} was changed: it states sha256 {stated}, its content has {actual}"
        )
    try:
        return _schema.decode(Manifest, body, "manifest")
    except _schema.SchemaError as error:
        raise BadBundle(bundle, str(error)) from error


def write_manifest(bundle: Path, manifest: Manifest) -> Manifest:
    """Write `manifest.json` last: hashes every file of the folder, then the manifest itself.

    Args:
        bundle: the folder, all other files already in it.
        manifest: everything else; its `files` and `manifest_sha256` are replaced.

    Returns:
        the manifest as written.
    """
    files = {
        path.relative_to(bundle).as_posix(): FileEntry(
            sha256=sha256_file(path), bytes=path.stat().st_size
        )
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path != bundle / FILE_NAME
    }
    body = replace(manifest, files=files).to_json()
    write_json(bundle / FILE_NAME, body)
    return _schema.decode(Manifest, body, "manifest")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _self_hash(body: dict[str, Any]) -> str:
    rest = {key: value for key, value in body.items() if key != "manifest_sha256"}
    return hashlib.sha256(canonical_json(rest)).hexdigest()


def _check_constants(manifest: Manifest) -> None:
    expected = {"schema": SCHEMA, "kind": KIND, "colour_order": "RGB", "value_range": (-1.0, 1.0)}
    for name, value in expected.items():
        if getattr(manifest, name) != value:
            raise _schema.SchemaError(f"{name} is {getattr(manifest, name)!r}, expected {value!r}")
    if manifest.resolution_px < 1:
        raise _schema.SchemaError(f"resolution_px is {manifest.resolution_px}, expected at least 1")
    if manifest.evaluations_per_step not in (1, 2):
        raise _schema.SchemaError(
            f"evaluations_per_step is {manifest.evaluations_per_step}, expected 1 or 2"
        )
    for name in manifest.files:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or "\\" in name or ":" in name:
            raise _schema.SchemaError(f"files names '{name}', expected a path inside the bundle")


def _check_graphs(manifest: Manifest) -> None:
    found_graphs, known = set(manifest.graphs), set(GRAPH_TENSORS)
    if found_graphs | {DETECTOR} != known:
        raise _schema.SchemaError(
            f"graphs are {sorted(found_graphs)}, expected {sorted(known)}, of which only "
            f"'{DETECTOR}' may be left out"
        )
    for name, graph in manifest.graphs.items():
        inputs, outputs = GRAPH_TENSORS[name]
        optional = {"guidance"} if name == "denoise" else set()
        found = {tensor.name for tensor in graph.inputs} - optional
        if found != inputs:
            raise _schema.SchemaError(
                f"graphs.{name} takes {sorted(found)}, expected {sorted(inputs)}"
            )
        given = {tensor.name for tensor in graph.outputs}
        if given != outputs:
            raise _schema.SchemaError(
                f"graphs.{name} gives {sorted(given)}, expected {sorted(outputs)}"
            )
        if manifest.files and graph.file not in manifest.files:
            raise _schema.SchemaError(
                f"graphs.{name} names {graph.file}, which files does not list"
            )


def _check_engines(manifest: Manifest) -> None:
    for key, entry in manifest.engines.items():
        if key != entry.inputs.key:
            raise _schema.SchemaError(
                f"engines.{key} was made from inputs whose key is {entry.inputs.key}"
            )
        if entry.graph not in manifest.graphs:
            raise _schema.SchemaError(f"engines.{key} is of an unknown graph '{entry.graph}'")
        if manifest.files and entry.file not in manifest.files:
            raise _schema.SchemaError(
                f"engines.{key} names {entry.file}, which files does not list"
            )
