"""Settings of where a fit computes, and what it does to fit there."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_compress.fit.dtype import AUTO, check_dtype, resolve_dtype
from edgeswap_compress.fit.machine.device import Compute, check_device, resolve_device

MEMORY_LOG = "edgeswap_compress.fit.memory"
"""Logger that says before each phase how much memory it will take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitMachine:
    """Where a stage computes, and what it does to fit there; no result depends on it.

    A continued run may have other ones than before, such as on another machine.

    Attributes:
        device: see `check_device`.
        dtype: of the computation, one of ``DTYPES``.
        checkpointing: compute the U-Net's activations twice instead of keeping them (1604.06174).
        offload: keep the teacher and the autoencoder in the host's memory while nothing asks them.
        compile: compile the U-Nets (torch.compile).
    """

    device: str = AUTO
    dtype: str = AUTO
    checkpointing: bool = False
    offload: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        check_device(self.device)
        check_dtype(self.dtype)

    def compute(self) -> Compute:
        """Give device and dtype as torch's objects; ``AUTO`` is decided.

        Raises:
            InvalidSettings: the device is not there.
        """
        device = resolve_device(self.device)
        return Compute(device, resolve_dtype(self.dtype, device))
