"""Errors of the evaluation.

CompressError                  (edgeswap_compress)
└── EvaluateError
    ├── CropMismatch           (ValueError)
    ├── InvalidEvaluation      (ValueError)
    ├── NotHeldOut             (ValueError)
    ├── OutdatedSet            (ValueError)
    ├── PairsMismatch          (ValueError)
    └── EmptyMask              (ValueError)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_compress.errors import CompressError

if TYPE_CHECKING:
    from pathlib import Path


class EvaluateError(CompressError):
    """An evaluation that cannot be made as asked."""


class CropMismatch(EvaluateError, ValueError):
    """Model and dataset do not mean the same aligned crop."""

    def __init__(self, what: str, *, expected: object, found: object) -> None:
        super().__init__(
            f"the dataset's {what} is {found}, the model expects {expected}: "
            "render a held-out dataset for this model with edgeswap data render, or let it swap "
            "re-cut crops with --resize"
        )


class InvalidEvaluation(EvaluateError, ValueError):
    """A setting is outside what is possible."""


class NotHeldOut(EvaluateError, ValueError):
    """The dataset shows people whom models are trained on."""

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(
            f"{path} is of split '{split}', expected 'heldout': its people may have been trained "
            "on; edgeswap data render --split heldout makes one of other people"
        )


class OutdatedSet(EvaluateError, ValueError):
    """A published set cannot be rendered by this version of edgeswap."""

    def __init__(self, name: str, what: str, *, expected: object, found: object) -> None:
        super().__init__(
            f"the held-out set '{name}' was published with {what} {expected}, this edgeswap "
            f"renders with {found}: install the edgeswap that published it, or render a set of "
            "your own with edgeswap data render --split heldout and name it with --data"
        )


class PairsMismatch(EvaluateError, ValueError):
    """The pair list is not the one that was asked for."""

    def __init__(self, *, expected: str, found: str) -> None:
        super().__init__(
            f"the pair list has sha256 {found}, expected {expected}: the scores would not be "
            "comparable; use the dataset and the --limit of the evaluation to compare with"
        )


class EmptyMask(EvaluateError, ValueError):
    """A mask leaves no pixel to compare."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"mask {position} of the batch covers no pixel: expected some inside and some outside; "
            "render the dataset again with edgeswap data render"
        )
