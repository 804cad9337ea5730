"""What a single file does not tell of its model, and what a few tell by an entry of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeswap_compress._checks import check_choice, check_range
from edgeswap_compress.importers.errors import ImportRefused, PartMissing

PREDICTIONS = ("epsilon", "v_prediction", "sample")

VELOCITY, NOISE_TO_THE_END = "v_pred", "ztsnr"
"""Entries of a single file, put there by its trainer, that say: the U-Net predicts the velocity; no
signal is left at the last timestep (of models derived from Stable Diffusion XL)."""

_SD2_WIDTH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """What the user says of a single file.

    Attributes:
        heads: attention heads of its U-Net, see `read_ldm_unet`.
        prediction: what its U-Net predicts, one of `PREDICTIONS`.
    """

    heads: int | None = None
    prediction: str | None = None

    def __post_init__(self) -> None:
        check_range("--heads", self.heads, 1, 1024)
        if self.prediction is not None:
            check_choice("--prediction", self.prediction, PREDICTIONS)

    def refuse(self, folder: Path) -> None:
        """Make sure that nothing is said of a folder, which tells all of it.

        Raises:
            ImportRefused: something is.
        """
        for option, value in (("--heads", self.heads), ("--prediction", self.prediction)):
            if value is not None:
                raise ImportRefused(
                    f"{option} {value}: {folder} is a folder, whose configs say it: leave {option} "
                    "out"
                )

    def predicts(self, path: Path, tensors: Mapping[str, Any], unet: Mapping[str, Any]) -> str:
        """Decide what a single file's U-Net predicts.

        Args:
            path: of the file.
            tensors: its entries.
            unet: config of its U-Net.

        Raises:
            PartMissing: two models of this form predict different things, and nothing says which.
            ImportRefused: the user says something else than the file.
        """
        if VELOCITY in tensors:
            if self.prediction not in (None, "v_prediction"):
                raise ImportRefused(
                    f"--prediction {self.prediction}: {path} says v_prediction by its entry "
                    f"{VELOCITY}: leave --prediction out"
                )
            return "v_prediction"
        if self.prediction is None and unet["cross_attention_dim"] == _SD2_WIDTH:
            raise PartMissing(
                f"{path} is of Stable Diffusion 2's form, of which some predict the noise and some "
                "the velocity: expected --prediction epsilon or --prediction v_prediction"
            )
        return self.prediction or "epsilon"
