"""Weights that are no numbers are the checkpoint's fault: found before any graph is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeswap_compress.errors import InvalidCheckpoint


def require_finite_weights(module: nn.Module, where: Path | str) -> None:
    """Check that no weight is NaN or infinite.

    Args:
        module: with its weights in memory.
        where: the folder they were read from, for the message.

    Raises:
        InvalidCheckpoint: naming the first such tensor.
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
    """Check that torch itself computes numbers from the weights, which may be finite but absurd.

    Args:
        what: the graph's name.
        answers: output name -> what torch answers to a seeded example.

    Raises:
        InvalidCheckpoint: naming the first output that holds NaN or infinity.
    """
    for name, value in answers.items():
        if not bool(torch.isfinite(value).all()):
            raise InvalidCheckpoint(
                f"what torch computes from its weights as {what}",
                expected=f"finite numbers in {name}",
                found="NaN or infinity",
            )
