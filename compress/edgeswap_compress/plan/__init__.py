"""Pruning plans as data: format, checks, replay, and U-Net folders, whole or pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress._pruning_errors import BadPlan, BadUNetFolder
    from edgeswap_compress.plan.apply import apply_plan
    from edgeswap_compress.plan.folder import load_unet, read_unet_folder, write_unet_folder
    from edgeswap_compress.plan.plan import PruningPlan
    from edgeswap_compress.plan.plan_file import read_plan
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress._pruning_errors": ("BadPlan", "BadUNetFolder"),
            "edgeswap_compress.plan.apply": ("apply_plan",),
            "edgeswap_compress.plan.folder": (
                "load_unet",
                "read_unet_folder",
                "write_unet_folder",
            ),
            "edgeswap_compress.plan.plan": ("PruningPlan",),
            "edgeswap_compress.plan.plan_file": ("read_plan",),
        },
    )

__all__ = [
    "BadPlan",
    "BadUNetFolder",
    "PruningPlan",
    "apply_plan",
    "load_unet",
    "read_plan",
    "read_unet_folder",
    "write_unet_folder",
]
