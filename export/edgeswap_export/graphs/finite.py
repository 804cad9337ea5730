"""Check that torch computes finite outputs, before any graph is written."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgeswap_compress.errors import InvalidCheckpoint


def require_finite_answers(what: str, answers: Mapping[str, Tensor]) -> None:
    """Check that torch computes finite outputs: finite weights may still be absurd.

    Args:
        what: the graph's name.
        answers: name of an output -> torch's output for a seeded example.

    Raises:
        InvalidCheckpoint: an output holds NaN or infinity; the message names the first.
    """
    for name, value in answers.items():
        if not bool(torch.isfinite(value).all()):
            raise InvalidCheckpoint(
                f"what torch computes from its weights as {what}",
                expected=f"finite numbers in {name}",
                found="NaN or infinity",
            )
