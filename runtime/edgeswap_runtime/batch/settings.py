"""How the pictures of a batch are swapped, as data that workers and later runs read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeswap_runtime.files import sha256_file
from edgeswap_runtime.pictures.marks import MarkSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEngine:
    """What a worker opens.

    Attributes:
        bundle: the bundle's folder.
        backend: as for `Swapper.open`.
        device: likewise.
        precision: likewise.
        threads: likewise; 1 to 4 for each core.
    """

    bundle: str
    backend: str = "ort"
    device: str = "cpu"
    precision: str | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """How every picture of a batch is swapped.

    Attributes:
        engine: what a worker opens.
        bundle_sha256: `manifest_sha256` of the bundle.
        sources: photos of the person to put in, or one identity file; empty where each picture
            names its own.
        schedule: a schedule of the bundle.
        seed: of the noise.
        faces: "largest", "all", how many, or "#K".
        force: swap faces that `Swapper.judge` would leave alone.
        keep_detail: give large faces the target's own fine detail.
        marks: what the pictures carry besides metadata.
    """

    engine: WorkerEngine
    bundle_sha256: str
    sources: tuple[str, ...] = ()
    schedule: str
    seed: int = 0
    faces: str | int = "largest"
    force: bool = False
    keep_detail: bool = False
    marks: MarkSettings = dataclasses.field(default_factory=MarkSettings)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        body = dataclasses.asdict(self)
        return body | {"sources": list(self.sources)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> BatchSettings:
        """Return the settings that `to_json` gave."""
        parts = {
            "engine": WorkerEngine(**body["engine"]),
            "marks": MarkSettings(**body["marks"]),
            "sources": tuple(body["sources"]),
        }
        return cls(**(body | parts))

    def what_matters(self) -> dict[str, Any]:
        """Return what the pictures depend on: the sources by content, nothing that runs it."""
        body = self.to_json()
        del body["engine"]
        return body | {"sources": [sha256_file(Path(source)) for source in self.sources]}
