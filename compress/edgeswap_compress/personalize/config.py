"""Settings of a personalization, and the consent without which there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeswap_compress._checks import WEIGHT, check_ranges
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import (
    MASK_WEIGHT,
    FitBudget,
    FitOptions,
    FittedConfig,
    IdentityLossConfig,
)

PHOTOS = "about five photos of one person"
"""What a folder of photos is made with, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalizeConfig(FittedConfig):
    """How a student learns a person.

    Attributes:
        consent: who agreed, when, and to what; stored in the history and so in every bundle.
        rank: rank of the low-rank adapters.
        others: other people whose faces are put into the photos, to be taken out again.
        prior_weight: weight of staying as it was on other people (prior preservation).
        mask_weight: added to the weight of the losses inside the inner face.
        identity: the latent-space identity loss, which needs a source encoder.
        budget: how long; half of the samples are of the person where ``prior_weight`` is not 0.
        fit: optimizer, batch size, dtype and seed.
    """

    consent: str
    rank: int = 8
    others: int = 24
    prior_weight: float = 3.0
    mask_weight: float = MASK_WEIGHT
    identity: IdentityLossConfig = field(default_factory=IdentityLossConfig)
    budget: FitBudget = field(default_factory=lambda: FitBudget(samples=4800))
    fit: FitOptions = field(default_factory=lambda: FitOptions(batch_size=16, learning_rate=1e-3))

    def __post_init__(self) -> None:
        FittedConfig.__post_init__(self)
        parts = [part.strip() for part in self.consent.split(",")]
        if len([part for part in parts if part]) < 3:
            raise InvalidSettings(
                f'consent "{self.consent}": expected who agreed, when, and to what, with commas '
                'between; for example --consent "Jane Doe, 2026-03-01, swaps in my own videos"'
            )
        check_ranges(
            self, rank=(1, 4096), others=(1, 10_000), prior_weight=WEIGHT, mask_weight=WEIGHT
        )
