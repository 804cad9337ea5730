"""Estimate of the memory that a fit will take, before it begins."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.machine.device import free_bytes
from edgeswap_compress.fit.machine.options import MEMORY_LOG

TRIED = 2
"""Samples of the step that the activations are measured on."""

RESERVE = 0.05
"""Share of the free memory that is left to everything else."""

_log = logging.getLogger(MEMORY_LOG)


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a fit will hold at once, bytes beyond what is held when it begins.

    Attributes:
        optimizer: float32 master weights, their moments and average, and the gradients.
        activations: what a batch keeps for the backward pass, and what is made of it there.
        samples: of the batch.
    """

    optimizer: int
    activations: int
    samples: int

    @property
    def total(self) -> int:
        """Add up the parts."""
        return self.optimizer + self.activations

    def line(self, device: torch.device, free: int | None) -> str:
        """Say in one line what the fit will take, and what there is."""
        there = "" if free is None else f"; {_gb(free)} free on {device}"
        return (
            f"memory: about {_gb(self.total)} more ({_gb(self.optimizer)} optimizer, "
            f"{_gb(self.activations)} a batch of {self.samples}){there}"
        )


def estimate_memory(
    module: nn.Module, forward: Callable[[int], object], optimizer: str, share: int
) -> MemoryEstimate:
    """Estimate from the parameters, and from a forward pass of two samples.

    What autograd keeps of them is counted, without the weights; it grows with the batch. The
    backward pass makes a gradient of most of it besides, one at a time: a half more.

    Args:
        module: as the fit will have it; its buffers end as they were.
        forward: computes the loss of so many samples.
        optimizer: "adamw" or "muon".
        share: samples of this process's batch.
    """
    learns = [p for p in module.parameters() if p.requires_grad]
    count = sum(p.numel() for p in learns)
    gradients = sum(p.numel() * p.element_size() for p in learns)
    moments = 1 if optimizer == "muon" else 2
    # master weights, average and float32 gradients besides the moments
    weights = 4 * count * (3 + moments) + gradients
    tried = min(TRIED, share)
    kept = _kept_bytes(module, forward, tried)
    return MemoryEstimate(weights, int(1.5 * kept * share / tried), share)


def require_memory(estimate: MemoryEstimate, device: torch.device, *, tell: bool = True) -> None:
    """State how much memory a fit will take; refuse it where so much is not free.

    Args:
        estimate: of the fit.
        device: that computes.
        tell: whether to log it where it fits.

    Raises:
        InvalidSettings: it cannot fit.
    """
    free = free_bytes(device)
    if tell:
        _log.info(estimate.line(device, free))
    if free is not None and estimate.total > (1.0 - RESERVE) * free:
        raise InvalidSettings(
            f"the fit needs about {_gb(estimate.total)} of memory and {device} has {_gb(free)} "
            f"free: expected room for {_gb(estimate.optimizer)} of optimizer and "
            f"{_gb(estimate.activations)} for a batch of {estimate.samples}; give a smaller "
            "--batch-size, --checkpointing or --offload"
        )


def _kept_bytes(module: nn.Module, forward: Callable[[int], object], samples: int) -> int:
    """Count the bytes that autograd keeps of a forward pass, each memory once."""
    own = {_place(p) for p in module.parameters()} | {_place(b) for b in module.buffers()}
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    sizes: dict[tuple[str, int], int] = {}

    def pack(kept: Tensor) -> Tensor:
        place = _place(kept)
        if place not in own:
            sizes[place] = kept.untyped_storage().nbytes()
        held.append(kept)  # or its memory would be given to the next one, and counted once
        return kept

    held: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
        forward(samples)
    for name, buffer in module.named_buffers():
        buffer.copy_(before[name])
    return sum(sizes.values())


def _place(tensor: Tensor) -> tuple[str, int]:
    return str(tensor.device), tensor.untyped_storage().data_ptr()


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
