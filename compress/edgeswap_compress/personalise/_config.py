"""Settings of a personalisation, and the consent without which there is none."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_compress._errors import InvalidSettings
from edgeswap_compress.fit.dtype import AUTO, check_dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonaliseConfig:
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
        for name in ("rank", "others", "batch_size"):
            if getattr(self, name) < 1:
                raise InvalidSettings(f"{name} {getattr(self, name)}: expected 1 or more")
        for name in ("prior_weight", "identity_weight", "identity_noise"):
            if getattr(self, name) < 0:
                raise InvalidSettings(f"{name} {getattr(self, name)}: expected 0 or more")
