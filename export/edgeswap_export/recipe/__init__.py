"""Run all stages from a checkpoint to a measured bundle by a recipe; resumable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_export.recipe._build import BuiltStage, build
    from edgeswap_export.recipe._errors import BadRecipe, BuildBusy, StageFailed, StageRefused
    from edgeswap_export.recipe._recipe import Recipe, read_recipe
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_export.recipe._build": (
                "BuiltStage",
                "build",
            ),
            "edgeswap_export.recipe._errors": (
                "BadRecipe",
                "BuildBusy",
                "StageFailed",
                "StageRefused",
            ),
            "edgeswap_export.recipe._recipe": ("Recipe", "read_recipe"),
        },
    )

__all__ = [
    "BadRecipe",
    "BuildBusy",
    "BuiltStage",
    "Recipe",
    "StageFailed",
    "StageRefused",
    "build",
    "read_recipe",
]
