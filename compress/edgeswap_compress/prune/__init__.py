"""Structured pruning of diffusers U-Nets: plans as data, and their replay."""

from __future__ import annotations

from importlib import import_module
from typing import Any

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

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
