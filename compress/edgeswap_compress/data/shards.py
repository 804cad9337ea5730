"""Datasets of shards: groups of pictures on disk, one safetensors file each.

A dataset is a folder of `shard-00000.safetensors`, … and `manifest.json`. A shard holds, for its G
groups of P = K·(K + 1) pictures (their order: `_grid`):

    landmarks  (G, P, 5, 2) float32   pixels, x right, y down, centers at integers
    images     (G, P, S, S, 3) uint8  RGB
    masks      (G, P, S, S) uint8     what a swap may change, 0 .. 255
    occluders  (G, P, S, S) uint8     opacity of what stands before the inner face (from version 4)

and in its header, from renderer version 4, `scenes`: what each source view and each target scene is
like, in JSON.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_compress.data._dataset_manifest import check_manifest
from edgeswap_compress.data.grid import RENDERERS, GroupSettings, picture_index, triplets
from edgeswap_compress.data.shard_files import map_shard, read_scenes, shard_name
from edgeswap_compress.errors import DatasetDamaged, DatasetMismatch
from edgeswap_runtime.files import canonical_json, require_folder, sha256_file
from edgeswap_runtime.strict_json import JsonError, read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
KIND = "edgeswap-dataset"
MANIFEST = "manifest.json"
_FARTHEST_PX = 100_000


class Dataset:
    """A rendered dataset, read lazily: shards are mapped when first used.

    Attributes:
        path: its folder.
        manifest: what `manifest.json` says.
        settings: what decided every pixel.
        groups: the numbers of its groups, `range(n)`.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.settings = GroupSettings.recorded(
            manifest["settings"], manifest.get("renderer_version", RENDERERS[0])
        )
        self.groups = range(manifest["groups"])
        self._per_shard: int = manifest["groups_per_shard"]
        self._mapped: dict[int, dict[str, NDArray[Any]]] = {}
        self._scenes: dict[int, list[list[dict[str, Any]]]] = {}

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def identities(self) -> int:
        """Count the identities of a group, K."""
        return self.settings.identities

    @property
    def pictures(self) -> int:
        """Count the pictures of a group, P = K (K + 1)."""
        return self.identities * (self.identities + 1)

    @property
    def digest(self) -> str:
        """Hash the settings and the shards' own hashes: the same pixels, the same digest."""
        pixels = {"settings": self.manifest["settings"], "shards": self.manifest["shards"]}
        return hashlib.sha256(canonical_json(pixels)).hexdigest()

    @property
    def recipe(self) -> dict[str, Any]:
        """Give what decided every pixel but for the machine, as JSON values."""
        names = ("settings", "groups", "renderer_version", "assets")
        return {name: self.manifest[name] for name in names}

    def images(self, group: int) -> NDArray[np.uint8]:
        """Read the pictures of a group: (P, S, S, 3) RGB, a read-only view of the file."""
        return self._tensor("images", group)

    def masks(self, group: int) -> NDArray[np.uint8]:
        """Read the inner-face masks of a group: (P, S, S), a read-only view of the file."""
        return self._tensor("masks", group)

    def occluders(self, group: int) -> NDArray[np.uint8]:
        """(P, S, S) opacity of what stands before the inner face, 0 .. 255, of a group.

        Before renderer version 4 nothing was said to stand there: all 0.
        """
        if self.settings.renderer < 4:
            return np.zeros_like(self.masks(group))
        return self._tensor("occluders", group)

    def scenes(self, group: int) -> list[dict[str, Any]]:
        """What the scene of each of a group's P pictures is like; empty before version 4.

        The pictures of one target scene share one record: occluders (names), covered (share of the
        inner face), light, mood, angles and what the camera did.
        """
        shard, row = self._place(group)
        if shard not in self._scenes:
            self._scenes[shard] = read_scenes(self.path / shard_name(shard))
        slots, count = self._scenes[shard][row], self.identities
        if not slots:
            return []
        return [
            slots[p if p < count else count + (p - count) // count] for p in range(self.pictures)
        ]

    def landmarks(self, group: int) -> NDArray[np.float32]:
        """Read the landmarks of a group: (P, 5, 2), pixels, a read-only view of the file."""
        return self._tensor("landmarks", group)

    def triplets(self) -> NDArray[np.int64]:
        """Give the positions (T, 3) of source, target and truth within any group."""
        return triplets(self.settings.identities)

    def picture(self, scene: int, inner: int) -> int:
        """Give the position within a group of scene b's person wearing inner face a."""
        return picture_index(self.settings.identities, scene, inner)

    def verify(self) -> None:
        """Check every shard's sha256 against the manifest.

        Raises:
            DatasetDamaged: at the first that differs.
        """
        for shard in self.manifest["shards"]:
            digest = sha256_file(self.path / shard["file"])
            if digest != shard["sha256"]:
                raise DatasetDamaged(
                    self.path / shard["file"], expected=f"sha256 {shard['sha256']}", found=digest
                )

    def check_headers(self) -> None:
        """Check that every shard holds tensors of the manifest's sizes.

        Raises:
            DatasetDamaged: at the first that does not.
        """
        for shard in range(-(-len(self.groups) // self._per_shard)):
            self._map(shard)

    def _place(self, group: int) -> tuple[int, int]:
        """Shard and row of a group."""
        if not 0 <= group < len(self.groups):
            raise IndexError(f"group {group}: expected 0 to {len(self.groups) - 1}")
        return divmod(group, self._per_shard)

    def _tensor(self, name: str, group: int) -> NDArray[Any]:
        shard, row = self._place(group)
        if shard not in self._mapped:
            self._mapped[shard] = self._map(shard)
        return self._mapped[shard][name][row]

    def _map(self, shard: int) -> dict[str, NDArray[Any]]:
        """Map the tensors of a shard, which must be of the manifest's sizes."""
        path = self.path / shard_name(shard)
        tensors = map_shard(path)
        groups = min(self._per_shard, len(self.groups) - shard * self._per_shard)
        side, count = self.settings.size_px, self.pictures
        expected = {"images": (count, side, side, 3), "masks": (count, side, side)}
        for name, shape in {**expected, "landmarks": (count, 5, 2)}.items():
            found = tensors[name].shape
            if found[0] < groups or found[1:] != shape:
                wanted = f"{name} of {(groups, *shape)}"
                raise DatasetDamaged(path, expected=wanted, found=f"{name} of {found}")
        if not (np.abs(tensors["landmarks"]) <= _FARTHEST_PX).all():  # False for NaN
            within = f"landmarks within {_FARTHEST_PX} pixels"
            raise DatasetDamaged(path, expected=within, found="others")
        return tensors


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Read the manifest of a dataset folder; None where there is none.

    Raises:
        DatasetDamaged: it is not a dataset's manifest.
        DatasetMismatch: a newer edgeswap wrote it.
    """
    file = path / MANIFEST
    if not file.is_file():
        return None
    try:
        manifest = read_json(file)
    except JsonError as error:
        raise DatasetDamaged(file, expected="JSON", found=str(error)) from error
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise DatasetDamaged(file, expected=f"kind {KIND}", found="another file")
    if manifest.get("schema") != SCHEMA:
        raise DatasetMismatch(path, "schema", expected=SCHEMA, found=manifest.get("schema"))
    return manifest


def read_dataset(path: Path | str) -> Dataset:
    """Open a dataset; its shards' sizes and headers are checked, their contents on `verify()`.

    Raises:
        BadFolder: there is no manifest.
        DatasetDamaged: the manifest or a shard's size is wrong.
    """
    folder = require_folder(Path(path), what="dataset", holds=MANIFEST, make="edgeswap data render")
    manifest = read_manifest(folder) or {}
    check_manifest(manifest, folder / MANIFEST)
    for shard in manifest["shards"]:
        file = folder / shard["file"]
        found = file.stat().st_size if file.is_file() else 0
        if found != shard["bytes"]:
            raise DatasetDamaged(file, expected=f"{shard['bytes']} bytes", found=f"{found}")
    dataset = Dataset(folder, manifest)
    dataset.check_headers()
    return dataset
