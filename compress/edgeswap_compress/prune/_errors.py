"""What pruning refuses, and how it says so.

EdgeswapError
└── PruningError
    ├── BadPlan (ValueError)               a plan is malformed or does not fit the U-Net
    ├── UnsupportedModel (ValueError)   a U-Net or a layer of a kind that cannot be pruned
    └── UnreachableTarget (ValueError)  no aligned plan comes near the asked target
"""

from __future__ import annotations

from edgeswap_runtime._errors import EdgeswapError


class PruningError(EdgeswapError):
    """Base of everything pruning refuses."""


class BadPlan(PruningError, ValueError):
    """A pruning plan is malformed, or does not fit the U-Net it is applied to."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"pruning plan, {where}: {problem}")
        self.where = where


class UnsupportedModel(PruningError, ValueError):
    """The model, or one of its layers, is of a kind that pruning cannot treat."""


class UnreachableTarget(PruningError, ValueError):
    """Alignment and protected layers leave no plan near the asked target."""
