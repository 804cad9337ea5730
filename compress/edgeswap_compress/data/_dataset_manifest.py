"""Schema of a dataset's manifest.json, with the bounds of every number in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from edgeswap_compress.data.grid import GroupSettings
from edgeswap_compress.errors import DatasetDamaged
from edgeswap_runtime.bundle.manifest_parts import Sha256
from edgeswap_runtime.bundle.schema import Pattern, Range, SchemaError, Size, decode

Groups = Annotated[int, Range(0, 10_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file of a dataset."""

    file: Annotated[str, Pattern(r"shard-[0-9]{5,}\.safetensors", "shard-00000.safetensors")]
    groups: Groups
    bytes: Annotated[int, Range(0, 2**40)]
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetManifest:
    """All that manifest.json states.

    Attributes:
        renderer_version: of the code that rendered; other pixels have another.
        assets: package -> sha256 of what was rendered from it.
        settings: what decided every pixel.
        groups, pictures: how many there are.
        groups_per_shard: of every shard but the last.
        shards: the files.
        environments: the machines that rendered.
    """

    schema: int
    kind: str
    settings: GroupSettings
    groups: Groups
    groups_per_shard: Annotated[int, Range(1, 10_000)]
    shards: Annotated[tuple[Shard, ...], Size(0, 100_000)]
    pictures: Annotated[int, Range(0, 2**40)] = 0
    renderer_version: Annotated[int, Range(0, 1000)] = 3
    assets: dict[str, Any] = field(default_factory=dict)
    environments: tuple[dict[str, Any], ...] = field(default_factory=tuple)


def check_manifest(raw: dict[str, Any], file: Path) -> DatasetManifest:
    """Check a manifest: every field within its bounds, no group without a shard.

    Raises:
        DatasetDamaged: saying which field, what was expected and what was found.
    """
    try:
        manifest = decode(DatasetManifest, raw, "manifest")
    except SchemaError as error:
        raise DatasetDamaged(file, expected="a dataset's manifest", found=str(error)) from error
    size = manifest.groups_per_shard
    listed = {shard.file: shard.groups for shard in manifest.shards}
    for number in range(-(-manifest.groups // size)):
        name = f"shard-{number:05d}.safetensors"
        groups, found = min(size, manifest.groups - number * size), listed.get(name, 0)
        if not groups <= found <= size:
            expected = f"{groups} groups in {name}"
            raise DatasetDamaged(file, expected=expected, found=f"{found}")
    return manifest
