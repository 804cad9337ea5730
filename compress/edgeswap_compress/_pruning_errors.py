"""Errors of pruning, as a tree.

    CompressError (edgeswap_compress)
    └── PruningError
        ├── BadPlan            (ValueError) a plan is malformed or does not fit the U-Net
        ├── UnsupportedModel   (ValueError) a U-Net or a layer of a kind that cannot be pruned
        ├── UnreachableTarget  (ValueError) no aligned plan comes near the asked target
        ├── TooNoisy           (RuntimeError) the machine is too busy to measure a latency
        ├── HasCompanion       (ValueError) a pipeline would lose its ControlNet or adapter
        ├── AlreadyPruned      (ValueError) a pruned checkpoint was given where a whole one must be
        └── BadUNetFolder      (ValueError) a folder does not hold the U-Net its config promises

Every message is one line: what happened, what was expected and found, what to type next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_compress.errors import CompressError

if TYPE_CHECKING:
    from pathlib import Path


class PruningError(CompressError):
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


class TooNoisy(PruningError, RuntimeError):
    """A latency target cannot be judged, because other work on the machine disturbs the clock."""

    def __init__(self, wanted: float, found: float, *, noise: float, rounds: int) -> None:
        super().__init__(
            f"this machine is too noisy for a latency ratio of {wanted:g}: {rounds} rounds in "
            f"turns measured {found:.3f}, give or take {noise:.0%}, expected at most 5%; stop the "
            "other programs and run it again, or ask for --macs-ratio"
        )


class HasCompanion(PruningError, ValueError):
    """A pipeline folder holds something beside its U-Net that would be lost silently."""


class AlreadyPruned(PruningError, ValueError):
    """A plan counts in the channels of the original U-Net, so plans cannot be stacked."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(
            f"{path} is pruned already, expected an unpruned checkpoint: "
            "prune the checkpoint it came from, with a lower --macs-ratio"
        )


class BadUNetFolder(PruningError, ValueError):
    """A folder does not hold a U-Net, or not the one its config and plan promise."""

    def __init__(
        self, path: Path | str, problem: str, remedy: str = "copy or save the folder again"
    ) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = path
