"""Check that a checkpoint's weights and outputs are finite, before any graph is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeswap_compress.errors import InvalidCheckpoint


def require_finite_weights(module: nn.Module, where: Path | str) -> None:
    """Check that no weight is NaN or infinite.

    Args:
        module: the module to check.
        where: the folder they were read from, for the message.

    Raises:
        InvalidCheckpoint: one is; the message names the first such tensor.
    """
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise InvalidCheckpoint(
                f"{where}: {name}",
                expected="finite numbers",
                found=f"{bad} of {tensor.numel()} NaN or infinite",
            )


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
