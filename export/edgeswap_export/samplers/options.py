"""Define what the option classes of all samplers share."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_export._errors import UnsupportedSchedule

VARIANCES = ("fixed_small", "fixed_large")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """Base class of the samplers' options; a sampler without options takes this one."""


def check_variance(sampler: str, variance: str) -> None:
    """Raise UnsupportedSchedule unless the variance is one of `VARIANCES`."""
    if variance not in VARIANCES:
        raise UnsupportedSchedule(
            f"{sampler} variance must be one of {', '.join(VARIANCES)}, found {variance!r}"
        )
