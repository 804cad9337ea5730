"""Settings of a personalization, and the consent without which there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeswap_compress._checks import (
    BATCH,
    LEARNING_RATE,
    SAMPLES,
    WEIGHT,
    check_ranges,
    check_samples,
    check_seed,
)
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.errors import InvalidCheckpoint, InvalidSettings
from edgeswap_compress.fit.dtype import AUTO, check_dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalizeConfig:
    """How a student learns a person.

    Attributes:
        consent: who agreed, when, and to what; stored in the history and so in every bundle.
        rank: of the adapters.
        samples: training samples, half of them of the person where ``prior_weight`` is not 0.
        others: synthetic people whose faces are put into the photos, to be taken out again.
        prior_weight: of staying as it was on synthetic people (prior preservation).
        identity_weight, identity_noise, mask_weight: as in training.
        dtype: of the computation, one of ``DTYPES``; a continued run may take another.
    """

    consent: str
    rank: int = 8
    samples: int = 4800
    batch_size: int = 16
    learning_rate: float = 1e-3
    others: int = 24
    prior_weight: float = 3.0
    identity_weight: float = 0.5
    identity_noise: float = 0.3
    mask_weight: float = 3.0
    dtype: str = AUTO
    seed: int = 0

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        parts = [part.strip() for part in self.consent.split(",")]
        if len([part for part in parts if part]) < 3:
            raise InvalidSettings(
                f'consent "{self.consent}": expected who agreed, when, and to what, with commas '
                'between; for example --consent "Jane Doe, 2026-03-01, swaps in my own videos"'
            )
        check_seed(self.seed)
        check_ranges(
            self,
            rank=(1, 4096),
            others=(1, 10_000),
            batch_size=BATCH,
            samples=SAMPLES,
            learning_rate=LEARNING_RATE,
            prior_weight=WEIGHT,
            identity_weight=WEIGHT,
            identity_noise=WEIGHT,
            mask_weight=WEIGHT,
        )
        check_samples(self.samples, self.batch_size)


def require_student(path: Path, swap: SwapConfig) -> None:
    """Refuse a checkpoint that needs guidance.

    Raises:
        InvalidCheckpoint: it does.
    """
    if swap.guidance_scale != 1.0:
        raise InvalidCheckpoint(
            f"{path}: guidance_scale",
            expected="1.0, a student (edgeswap distill makes one)",
            found=swap.guidance_scale,
        )
