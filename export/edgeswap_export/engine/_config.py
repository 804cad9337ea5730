"""What an engine stage may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from edgeswap_export.engine._architectures import (
    check_backend,
    check_compatibility,
    check_targets,
)
from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_runtime.bundle import schema
from edgeswap_runtime.bundle.engines import AMPERE_PLUS, SAME_COMPUTE_CAPABILITY

COMPATIBILITIES = (AMPERE_PLUS, SAME_COMPUTE_CAPABILITY)

Sizes = tuple[int, int, int]
"""Least, usual and largest value of a dynamic axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How a bundle's graphs become engines.

    Attributes:
        backend: "tensorrt_rtx", ahead of time on any machine, or "tensorrt", on the device.
        targets: for "tensorrt_rtx" the architectures, such as ("SM86", "SM89"); else empty.
        graphs: which graphs; all of the bundle's when empty.
        sizes: name of a dynamic axis -> its least, usual and largest value; what the bundle states
            where a size is not named here.
        hardware_compatibility: "ampere-plus" or "same-compute-capability"; None is this GPU only.
        refittable: weights can be replaced later, by `--refit`.
        workspace_mib: most working memory a layer may take while building; TensorRT's own limit
            when None, or a quarter of all memory where the GPU shares the CPU's.
        optimization_level: 0 (fastest build) to 5; TensorRT's own default when None.
        tf32: let float32 products be rounded to TensorFloat-32 (10 bits) on GPUs that have it.
        timing_cache: keep measured kernel times in the user's cache, for the next build.
        refit: a bundle whose engines are to be given this bundle's weights, instead of building.

    Raises:
        UnsupportedEngine: on construction, when it cannot be.
    """

    backend: str
    targets: tuple[str, ...] = ()
    graphs: tuple[str, ...] = ()
    sizes: dict[str, Sizes] = field(default_factory=dict)
    hardware_compatibility: str | None = None
    refittable: bool = False
    workspace_mib: int | None = None
    optimization_level: int | None = None
    tf32: bool = False
    timing_cache: bool = True
    refit: str | None = None

    def __post_init__(self) -> None:
        check_backend(self.backend)
        level = self.hardware_compatibility
        if level is not None and level not in COMPATIBILITIES:
            raise UnsupportedEngine(
                f"hardware compatibility '{level}': expected one of {', '.join(COMPATIBILITIES)}"
            )
        check_compatibility(level, self.backend, None)
        if self.refit is None:
            check_targets(self.backend, self.targets)
        if len(set(self.targets)) != len(self.targets):
            raise UnsupportedEngine(f"targets {', '.join(self.targets)}: one is named twice")
        for name, sizes in self.sizes.items():
            if not 1 <= sizes[0] <= sizes[1] <= sizes[2]:
                raise UnsupportedEngine(
                    f"size {name} {':'.join(map(str, sizes))}: expected MIN:OPT:MAX of at "
                    "least 1, such as 1:4:8"
                )
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UnsupportedEngine(f"workspace {self.workspace_mib} MiB: expected at least 1")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise UnsupportedEngine(
                f"optimization level {self.optimization_level}: expected 0 to 5"
            )

    def to_json(self) -> dict[str, Any]:
        """For the bundle's history; the folder's own place is nobody's business."""
        plain: dict[str, Any] = schema.encode(self)
        return plain | {"refit": None if self.refit is None else Path(self.refit).name}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> EngineConfig:
        """Rebuild from a recipe's table, where any field but the backend may be left out.

        Raises:
            UnsupportedEngine: an unknown field, or one of another type.
        """
        if unknown := sorted(set(raw) - {f.name for f in fields(cls)}):
            known = ", ".join(f.name for f in fields(cls))
            raise UnsupportedEngine(
                f"engine has no setting '{unknown[0]}': expected some of {known}"
            )
        try:
            return schema.decode(cls, dict(raw), "engine")
        except schema.SchemaError as error:
            raise UnsupportedEngine(str(error)) from error
