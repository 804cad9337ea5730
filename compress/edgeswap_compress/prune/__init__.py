"""Structured pruning of diffusers U-Nets: plans as data, and their replay."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeswap_compress.prune._apply import apply_plan
    from edgeswap_compress.prune._choose import build_plan
    from edgeswap_compress.prune._config import PruneConfig, RecoverConfig
    from edgeswap_compress.prune._errors import (
        BadFolder,
        BadPlan,
        PruningError,
        UnreachableTarget,
        UnsupportedModel,
    )
    from edgeswap_compress.prune._folder import load_unet
    from edgeswap_compress.prune._plan import PruningPlan
    from edgeswap_compress.prune._stage import PruneFiles, prune

__all__ = [
    "BadFolder",
    "BadPlan",
    "PruneConfig",
    "PruneFiles",
    "PruningError",
    "PruningPlan",
    "RecoverConfig",
    "UnreachableTarget",
    "UnsupportedModel",
    "apply_plan",
    "build_plan",
    "load_unet",
    "prune",
]

_WHERE = {
    "BadFolder": "_errors",
    "BadPlan": "_errors",
    "PruneConfig": "_config",
    "PruneFiles": "_stage",
    "PruningError": "_errors",
    "PruningPlan": "_plan",
    "RecoverConfig": "_config",
    "UnreachableTarget": "_errors",
    "UnsupportedModel": "_errors",
    "apply_plan": "_apply",
    "build_plan": "_choose",
    "load_unet": "_folder",
    "prune": "_stage",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
