"""Weights of torch modules that lie on disk while nobody asks torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn


class RestingWeights:
    """The parameters of modules in a file; the modules have none until they are loaded again.

    Whoever holds a module or a parameter holds it still: only its numbers go and come back.

    Args:
        modules: on the processor; a parameter that two share is stored once.
        file: to be written.
    """

    def __init__(self, modules: Iterable[nn.Module], file: Path) -> None:
        found = {id(weight): weight for module in modules for weight in module.parameters()}
        self._weights, self._file = list(found.values()), file
        torch.save([weight.data for weight in self._weights], file)
        self.drop()

    def load(self) -> None:
        """Give the modules their weights."""
        stored = torch.load(self._file, weights_only=True)
        for weight, numbers in zip(self._weights, stored, strict=True):
            weight.data = numbers

    def drop(self) -> None:
        """Take the weights from memory; the file keeps them."""
        for weight in self._weights:
            weight.data = torch.empty(0, dtype=weight.dtype)

    def end(self) -> None:
        """Load the weights for good, and remove the file."""
        self.load()
        self._file.unlink()
