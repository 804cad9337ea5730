"""Structured pruning of diffusers U-Nets: make a plan, apply it, train what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress._pruning_errors import (
        BadPlan,
        PruningError,
        UnreachableTarget,
        UnsupportedModel,
    )
    from edgeswap_compress.plan.apply import apply_plan
    from edgeswap_compress.plan.folder import load_unet
    from edgeswap_compress.plan.plan import PruningPlan
    from edgeswap_compress.prune.config import (
        PruneChoice,
        PruneConfig,
        PruneTarget,
        RecoverConfig,
    )
    from edgeswap_compress.prune.search.choice import build_plan
    from edgeswap_compress.prune.stage import PruneFiles, prune
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress._pruning_errors": (
                "BadPlan",
                "PruningError",
                "UnreachableTarget",
                "UnsupportedModel",
            ),
            "edgeswap_compress.plan.apply": ("apply_plan",),
            "edgeswap_compress.plan.folder": ("load_unet",),
            "edgeswap_compress.plan.plan": ("PruningPlan",),
            "edgeswap_compress.prune.config": (
                "PruneChoice",
                "PruneConfig",
                "PruneTarget",
                "RecoverConfig",
            ),
            "edgeswap_compress.prune.search.choice": ("build_plan",),
            "edgeswap_compress.prune.stage": (
                "PruneFiles",
                "prune",
            ),
        },
    )

__all__ = [
    "BadPlan",
    "PruneChoice",
    "PruneConfig",
    "PruneFiles",
    "PruneTarget",
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
