"""Errors of importing, as a tree.

    CompressError (edgeswap_compress)
    └── ImportRefused              (ValueError)
        ├── UnreadableWeights      (ValueError) a file holds no tensors, or not those it should
        │   └── CodeInPickle       (ValueError) a pickle wants to run code
        ├── DoesNotFit             (ValueError) two parts were made for different models
        ├── PartMissing            (LookupError) a file or an option that the model needs
        ├── FamilyRefused          (ValueError) a kind of model that cannot be imported
        └── NotReproduced          (RuntimeError) the result differs from diffusers' own pipeline

Every message is one line: what happened, what was expected and found, what to type next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_compress.errors import CompressError

if TYPE_CHECKING:
    from pathlib import Path


class ImportRefused(CompressError, ValueError):
    """A checkpoint of somebody else cannot be imported as asked."""


class UnreadableWeights(ImportRefused):
    """A file holds no tensors, or not those that its kind has."""

    def __init__(self, path: Path | str, *, expected: str, found: str) -> None:
        super().__init__(f"{path}: expected {expected}, found {found}")


class CodeInPickle(UnreadableWeights):
    """A pickle names something else than tensors, which reading it would run."""

    def __init__(self, path: Path | str, name: str) -> None:
        super().__init__(
            path,
            expected="a pickle of tensors alone",
            found=f"{name}, which may run code; it was not read: where you trust the file, save "
            "its tensors as safetensors and import those",
        )


class DoesNotFit(ImportRefused):
    """Two parts were made for different models."""

    def __init__(self, part: Path | str, *, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"{part} does not fit: expected {expected}, found {found}; {remedy}")


class PartMissing(ImportRefused, LookupError):
    """A file or an option that the model needs was not given."""


class FamilyRefused(ImportRefused):
    """A kind of model that cannot be imported, with the reason."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} cannot be imported: {why}; see docs/reference/families.md")


class NotReproduced(ImportRefused, RuntimeError):
    """The imported model computes something else than diffusers' own pipeline."""

    def __init__(self, step: int, *, found: float, allowed: float) -> None:
        super().__init__(
            f"step {step} differs from diffusers' own pipeline by {found:.2e} standard deviations, "
            f"expected at most {allowed:.0e}: nothing was written"
        )
