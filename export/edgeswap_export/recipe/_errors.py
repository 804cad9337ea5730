"""Define the errors of a build.

EdgeswapError
└── ExportError
    ├── BadRecipe        a stage does not take what the recipe says; exit code 2
    ├── BuildBusy        another build runs in the folder; exit code 2
    └── StageRefused     a stage ended with exit code 2, or before its work was done
EdgeswapFailure
└── StageFailed          a stage ended with another exit code, or was killed; exit code 1
"""

from __future__ import annotations

from pathlib import Path

from edgeswap_export._errors import ExportError
from edgeswap_runtime.errors import EdgeswapFailure


class BadRecipe(ExportError):
    """The recipe is not one, or a stage does not take what it says."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class BuildBusy(ExportError):
    """Another build runs in the folder."""

    def __init__(self, out: Path) -> None:
        super().__init__(f"another build is at work in {out}: wait for it, or name another folder")


class StageRefused(ExportError):
    """A stage ended with exit code 2, or before its work was done."""


class StageFailed(EdgeswapFailure):
    """A stage ended with another exit code, or was killed."""
