"""What the samplers' option classes share."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_export._errors import UnsupportedSchedule

VARIANCES = ("fixed_small", "fixed_large")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """Base of every sampler's options; itself the options of a sampler that has none."""


def check_variance(sampler: str, variance: str) -> None:
    """Raise UnsupportedSchedule unless the variance is one that a table can hold."""
    if variance not in VARIANCES:
        raise UnsupportedSchedule(
            f"{sampler} variance must be one of {', '.join(VARIANCES)}, found {variance!r}"
        )
