"""Say what an import made, and how near it is to diffusers' own pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import made.

    Attributes:
        path: of the checkpoint.
        difference: largest difference from diffusers' own pipeline after any compared step, in
            standard deviations of the latents; None where diffusers has no such pipeline.
        steps: that were compared.
        parameters: of the U-Net, adapter included.
    """

    path: Path
    difference: float | None
    steps: int
    parameters: int
