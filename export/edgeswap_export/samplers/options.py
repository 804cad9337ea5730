"""Define what the option classes of all samplers share, and what every table can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeswap_export._errors import UnsupportedSchedule

VARIANCES = ("fixed_small", "fixed_large")
SPACINGS = ("leading", "linspace", "trailing")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """Base class of the samplers' options; a sampler without options takes this one."""

    @classmethod
    def of_scheduler(cls, config: Mapping[str, Any]) -> SamplerOptions:
        """Make the options that a complete scheduler config states; the defaults where it does not.

        Raises:
            UnsupportedSchedule: it states what no table can hold.
        """
        return cls()


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPath:
    """What every sampler's table can be asked for, beside its own options.

    Attributes:
        spacing: of the timesteps, one of `SPACINGS`; None takes the scheduler config's own.
        strength: None starts from noise. A number above 0, to 1, starts from the target's latents
            and runs that share of the steps, the last ones.
        blend: after each row, set what the latent mask keeps back to the target, noised as far as
            the sample is.

    Raises:
        UnsupportedSchedule: on construction, when a value is out of its range.

    Source: the strength of diffusers' `StableDiffusionImg2ImgPipeline.get_timesteps` (SDEdit, arXiv
    2108.01073), the blending of its `StableDiffusionInpaintPipeline` for U-Nets of four channels.
    """

    spacing: str | None = None
    strength: float | None = None
    blend: bool = False

    def __post_init__(self) -> None:
        if self.spacing is not None and self.spacing not in SPACINGS:
            raise UnsupportedSchedule(
                f"spacing must be one of {', '.join(SPACINGS)}, found {self.spacing!r}"
            )
        if self.strength is not None and not 0.0 < self.strength <= 1.0:
            raise UnsupportedSchedule(
                f"strength must lie above 0 and up to 1, found {self.strength:g}"
            )

    @property
    def needs_target(self) -> bool:
        """Whether the target's latents are started from, or blended in."""
        return self.strength is not None or self.blend

    def first_step(self, steps: int) -> int:
        """Return how many of the first steps are left out.

        Raises:
            UnsupportedSchedule: all of them.
        """
        kept = steps if self.strength is None else min(int(steps * self.strength), steps)
        if kept < 1:
            raise UnsupportedSchedule(
                f"strength {self.strength:g} of {steps} steps leaves none: ask for more of either"
            )
        return steps - kept


def check_variance(sampler: str, variance: str) -> None:
    """Raise UnsupportedSchedule unless the variance is one of `VARIANCES`."""
    if variance not in VARIANCES:
        raise UnsupportedSchedule(
            f"{sampler} variance must be one of {', '.join(VARIANCES)}, found {variance!r}"
        )
