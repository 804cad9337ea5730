"""Settings of the engine stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from edgeswap_export.engine._architectures import (
    check_backend,
    check_compatibility,
    check_gpus,
)
from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_runtime.bundle import schema
from edgeswap_runtime.bundle.engines import AMPERE_PLUS, SAME_COMPUTE_CAPABILITY

COMPATIBILITIES = (AMPERE_PLUS, SAME_COMPUTE_CAPABILITY)

Sizes = tuple[int, int, int]
"""Smallest, usual and largest size of a dynamic axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderOptions:
    """How TensorRT builds; the defaults are TensorRT's, but for TF32.

    Attributes:
        refittable: the weights can be replaced later, with `--refit`.
        hardware_compatibility: "ampere-plus" or "same-compute-capability"; None for this GPU only.
        workspace_mib: most memory that a layer may use, MiB, at least 1; None for TensorRT's limit,
            or for a quarter of the memory where GPU and CPU share it.
        optimization_level: 0 (fastest build) to 5 (fastest engine); None for TensorRT's default.
        tf32: let float32 products be rounded to TensorFloat-32 (10 bits).
        timing_cache: keep the measured kernel times in the user's cache, for the next build.

    Raises:
        UnsupportedEngine: on construction, when a value is out of its range.
    """

    refittable: bool = False
    hardware_compatibility: str | None = None
    workspace_mib: int | None = None
    optimization_level: int | None = None
    tf32: bool = False
    timing_cache: bool = True

    def __post_init__(self) -> None:
        level = self.hardware_compatibility
        if level is not None and level not in COMPATIBILITIES:
            raise UnsupportedEngine(
                f"hardware compatibility '{level}': expected one of {', '.join(COMPATIBILITIES)}"
            )
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UnsupportedEngine(f"workspace {self.workspace_mib} MiB: expected at least 1")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise UnsupportedEngine(
                f"optimization level {self.optimization_level}: expected 0 to 5"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Which engines a bundle gets.

    Attributes:
        backend: "tensorrt_rtx" builds ahead of time on any machine, "tensorrt" on the device.
        gpus: for "tensorrt_rtx" the GPUs, such as ("sm86", "sm89"), kept in lower case; empty for
            "tensorrt".
        graphs: names of the graphs; empty for all of the bundle.
        sizes: name of a dynamic axis -> its smallest, usual and largest size; the bundle's own
            range for an axis that is not named here.
        builder: TensorRT's options.
        refit: a bundle whose engines take this bundle's weights, instead of building.

    Raises:
        UnsupportedEngine: on construction, when the settings do not fit together.
    """

    backend: str
    gpus: tuple[str, ...] = ()
    graphs: tuple[str, ...] = ()
    sizes: dict[str, Sizes] = field(default_factory=dict)
    builder: BuilderOptions = field(default_factory=BuilderOptions)
    refit: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "gpus", tuple(gpu.lower() for gpu in self.gpus))
        check_backend(self.backend)
        check_compatibility(self.builder.hardware_compatibility, self.backend, None)
        if self.refit is None:
            check_gpus(self.backend, self.gpus)
        if len(set(self.gpus)) != len(self.gpus):
            raise UnsupportedEngine(f"gpus {', '.join(self.gpus)}: one is named twice")
        for name, sizes in self.sizes.items():
            if not 1 <= sizes[0] <= sizes[1] <= sizes[2]:
                raise UnsupportedEngine(
                    f"size {name} {':'.join(map(str, sizes))}: expected MIN:OPT:MAX of at "
                    "least 1, such as 1:4:8"
                )

    def to_json(self) -> dict[str, Any]:
        """Return the settings for the bundle's history, with the name of a folder, not its path."""
        plain: dict[str, Any] = schema.encode(self)
        return plain | {"refit": None if self.refit is None else Path(self.refit).name}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> EngineConfig:
        """Make a config of what `to_json` returns; any field but the backend may be left out.

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
