"""Read and write a bundle's manifest: graphs, schedules, files, engines, what was measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from edgeswap_runtime.bundle import schema as _schema
from edgeswap_runtime.bundle._engine_entry import EngineEntry
from edgeswap_runtime.bundle._manifest_checks import (
    check_crops,
    check_engines,
    check_graphs,
    check_paths,
)
from edgeswap_runtime.bundle._shape_checks import check_schedule_outputs, check_shapes
from edgeswap_runtime.bundle.manifest_parts import (
    MODEL_CROP,
    CropSpec,
    FileEntry,
    FileName,
    Graph,
    GraphInput,
    License,
    Mask,
    Name,
    Scalar,
    Schedule,
    ScheduleRow,
    Tensor,
    Word,
)
from edgeswap_runtime.bundle.run_order import DETECTOR, find_run_order
from edgeswap_runtime.bundle.schema import Range, Size
from edgeswap_runtime.errors import BadBundle, NewerSchema
from edgeswap_runtime.files import (
    canonical_json,
    is_clutter,
    require_folder,
    sha256_file,
    write_json,
)
from edgeswap_runtime.strict_json import JsonError, parse_json, read_json

__all__ = [
    "DETECTOR",
    "FILE_NAME",
    "KIND",
    "MODEL_CROP",
    "SCHEMA",
    "CropSpec",
    "FileEntry",
    "Graph",
    "GraphInput",
    "License",
    "Manifest",
    "Mask",
    "Schedule",
    "ScheduleRow",
    "Tensor",
    "read_manifest",
    "write_manifest",
]

SCHEMA = 2
KIND = "edgeswap-bundle"
FILE_NAME = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a bundle states about itself.

    Raises:
        _schema.SchemaError: on construction, when fields contradict one another.
    """

    schema: int = SCHEMA
    kind: str = KIND
    name: Word
    made_with: Annotated[dict[str, Word], Size(0, 100)]
    crops: Annotated[dict[Name, CropSpec], Size(1, 16)]
    mask: Mask
    graphs: Annotated[dict[Name, Graph], Size(1, 32)]
    guidance_scale: Scalar = 1.0
    evaluations_per_step: Annotated[int, Range(1, 2)] = 1
    schedules: Annotated[dict[str, Schedule], Size(1, 200)]
    default_schedule: str
    engines: Annotated[dict[str, EngineEntry], Size(0, 1000)] = field(default_factory=dict)
    files: Annotated[dict[FileName, FileEntry], Size(0, 10_000)] = field(default_factory=dict)
    licenses: Annotated[tuple[License, ...], Size(0, 100)] = ()
    quality: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    history: Annotated[tuple[Any, ...], Size(0, 1000)] = ()
    manifest_sha256: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_constants(self)
        check_paths(self.files)
        check_crops(self.crops)
        check_graphs(self.graphs, self.files)
        find_run_order(self.graphs)
        check_shapes(self.graphs, self.crops)
        check_schedule_outputs(self.graphs, self.schedules)
        check_engines(self.engines, self.graphs, self.files)
        if self.default_schedule not in self.schedules:
            raise _schema.SchemaError(
                f"default_schedule '{self.default_schedule}' is none of {sorted(self.schedules)}"
            )

    @property
    def model_crop(self) -> CropSpec:
        """The crop that is swapped and pasted."""
        return self.crops[MODEL_CROP]

    @property
    def resolution_px(self) -> int:
        """The side of the crop that is swapped and pasted."""
        return self.model_crop.size_px

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON, with `manifest_sha256` computed again."""
        body: dict[str, Any] = _schema.encode(self)
        body["manifest_sha256"] = _self_hash(body)
        return body


def read_manifest(bundle: Path) -> Manifest:
    """Read and validate `manifest.json` of a bundle folder; its files are not touched.

    Raises:
        BadFolder: there is no such folder, or no manifest in it.
        BadBundle: the manifest is not JSON, or its own hash or a field is wrong.
        NewerSchema: it was written by a newer edgeswap.
    """
    require_folder(bundle, what="bundle", holds=FILE_NAME, make="edgeswap export")
    path = bundle / FILE_NAME
    try:
        body = read_json(path)
    except JsonError as error:
        raise BadBundle(bundle, f"{FILE_NAME} is not JSON ({error})") from error
    if not isinstance(body, dict) or body.get("kind") != KIND or "schema" not in body:
        raise BadBundle(bundle, f"{FILE_NAME} does not state a schema and kind '{KIND}'")
    schema = body["schema"]
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchema(bundle, found=schema, known=SCHEMA)
    if schema != SCHEMA:
        raise BadBundle(
            bundle, f"its schema is {schema!r}, expected {SCHEMA}: export its checkpoint again"
        )
    stated, actual = body.get("manifest_sha256"), _self_hash(body)
    if stated != actual:
        raise BadBundle(
            bundle,
            f"{FILE_NAME} was changed: it states sha256 {str(stated)[:64]}, its content has "
            f"{actual}",
        )
    try:
        manifest = _schema.decode(Manifest, body, "manifest")
    except _schema.SchemaError as error:
        raise BadBundle(bundle, str(error)) from error
    if not manifest.files:  # only one that is being made may list none
        raise BadBundle(bundle, f"{FILE_NAME} lists no files")
    return manifest


def write_manifest(bundle: Path, manifest: Manifest) -> Manifest:
    """Write `manifest.json` last: hashes every file of the folder, then the manifest itself.

    Args:
        bundle: the folder, all other files already in it.
        manifest: everything else; its `files` and `manifest_sha256` are replaced.

    Returns:
        the manifest as written.

    Raises:
        _schema.SchemaError: a value is out of its bounds, or `read_manifest` would not take the
            file; nothing was written.
    """
    files = {
        path.relative_to(bundle).as_posix(): FileEntry(
            sha256=sha256_file(path), bytes=path.stat().st_size
        )
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path != bundle / FILE_NAME and not is_clutter(path.name)
    }
    body = replace(manifest, files=files).to_json()
    try:
        written = _schema.decode(Manifest, parse_json(canonical_json(body)), "manifest")
    except JsonError as error:
        raise _schema.SchemaError(f"{FILE_NAME} could not be read back: {error}") from error
    write_json(bundle / FILE_NAME, body)
    return written


def _self_hash(body: dict[str, Any]) -> str:
    rest = {key: value for key, value in body.items() if key != "manifest_sha256"}
    return hashlib.sha256(canonical_json(rest)).hexdigest()


def _check_constants(manifest: Manifest) -> None:
    expected = {"schema": SCHEMA, "kind": KIND}
    for name, value in expected.items():
        if getattr(manifest, name) != value:
            raise _schema.SchemaError(f"{name} is {getattr(manifest, name)!r}, expected {value!r}")
