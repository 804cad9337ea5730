"""Published held-out sets: recipes in the repository, pictures in the user's cache.

A recipe states everything that decides the pictures, and what they and the pair list hashed to when
they were published. Rendering is deterministic up to the last bit of another machine's OpenGL and
numpy, so a set rendered elsewhere may have another digest; its pair list may not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_compress.data.assets import PACKAGES, RENDERING, cache_folder
from edgeswap_compress.data.grid import RENDERERS, GroupSettings
from edgeswap_compress.data.shards import read_dataset, read_manifest
from edgeswap_compress.evaluate._errors import InvalidEvaluation, OutdatedSet
from edgeswap_compress.evaluate._pairs import held_out_pairs
from edgeswap_runtime.files import canonical_json
from edgeswap_runtime.strict_json import read_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeswap_compress.data.shards import Dataset

_FOLDER = Path(__file__).parent / "sets"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutSet:
    """A published held-out set.

    Attributes:
        name: what `--set` calls it.
        recipe: as `Dataset.recipe`.
        dataset_digest: of the pictures, as they were rendered when it was published.
        pairs_sha256: of the list of all its pairs.
    """

    name: str
    recipe: dict[str, Any]
    dataset_digest: str
    pairs_sha256: str

    @classmethod
    def of(cls, name: str, dataset: Dataset) -> HeldOutSet:
        """Describe a rendered dataset as a set."""
        return cls(
            name=name,
            recipe=dataset.recipe,
            dataset_digest=dataset.digest,
            pairs_sha256=held_out_pairs(dataset).sha256,
        )

    def to_json(self) -> dict[str, Any]:
        """Convert to what `sets/NAME.json` holds."""
        hashes = {"dataset_digest": self.dataset_digest, "pairs_sha256": self.pairs_sha256}
        return {"recipe": self.recipe, **hashes}

    @property
    def folder(self) -> Path:
        """Name the folder of the rendered pictures; another recipe has another folder."""
        key = hashlib.sha256(canonical_json(self.recipe)).hexdigest()[:16]
        return cache_folder() / f"{self.name}-{key}"

    def open(self, progress: Callable[[int, bool], None] | None = None) -> Dataset:
        """Open the set from the cache; what is missing there is rendered first.

        Args:
            progress: as for `edgeswap_compress.data.render_dataset`.

        Raises:
            OutdatedSet: this version of edgeswap renders other pictures.
            DatasetDamaged: files in the cache are not what was rendered.
            AssetMissing, NoOffscreenRendering, RenderWorkerDied: rendering is not possible here.
        """
        manifest = read_manifest(self.folder)
        if manifest is not None and manifest["groups"] == self.recipe["groups"]:
            dataset = read_dataset(self.folder)
        else:
            dataset = self._render(progress)
        dataset.verify()
        held_out_pairs(dataset).check(self.pairs_sha256)
        return dataset

    def _render(self, progress: Callable[[int, bool], None] | None) -> Dataset:
        try:
            from edgeswap_compress.data.dataset_rendering import render_dataset
        except ModuleNotFoundError as error:
            raise InvalidEvaluation(
                f"the held-out set '{self.name}' is not in the cache and rendering it needs "
                f"{error.name}: python -m pip install 'edgeswap[data]'"
            ) from error
        assets = {name: PACKAGES[name].sha256 for name in RENDERING}
        if self.recipe["assets"] != assets:
            raise OutdatedSet(self.name, "assets", expected=self.recipe["assets"], found=assets)
        version = self.recipe["renderer_version"]
        if version not in RENDERERS:
            known = list(RENDERERS)
            raise OutdatedSet(self.name, "renderer_version", expected=version, found=known)
        settings = GroupSettings.recorded(self.recipe["settings"], version)
        return render_dataset(self.folder, settings, self.recipe["groups"], progress=progress)


def set_names() -> list[str]:
    """List the names of the published sets."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def held_out_set(name: str) -> HeldOutSet:
    """Find a published set by its name.

    Raises:
        InvalidEvaluation: there is none of that name.
    """
    if name not in set_names():
        raise InvalidEvaluation(f"no held-out set '{name}': expected one of {set_names()}")
    return HeldOutSet(name=name, **read_json(_FOLDER / f"{name}.json"))


def is_published(dataset_digest: str) -> bool:
    """Tell whether these are, bit for bit, the pictures of a published set."""
    return any(held_out_set(name).dataset_digest == dataset_digest for name in set_names())


def deviation(dataset: Dataset) -> str | None:
    """Describe how the pictures of a published set differ from the published ones, or None."""
    for published in map(held_out_set, set_names()):
        if published.recipe == dataset.recipe and published.dataset_digest != dataset.digest:
            return (
                f"{dataset.path}: the pictures of set '{published.name}' have digest "
                f"{dataset.digest}, published were {published.dataset_digest}: another OpenGL or "
                "numpy rendered them, scores may differ slightly from those published"
            )
    return None
