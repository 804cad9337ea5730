"""Write DDPM as a table: Ho, Jain & Abbeel, arXiv 2006.11239, equations (6), (7), algorithm 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgeswap_export.samplers.course import Course
from edgeswap_export.samplers.noise import NoiseSchedule, scales, visited
from edgeswap_export.samplers.options import SamplerOptions, check_variance
from edgeswap_runtime.bundle.manifest import ScheduleRow


@dataclass(frozen=True, slots=True, kw_only=True)
class DdpmOptions(SamplerOptions):
    """Options of the DDPM table.

    Attributes:
        variance: "fixed_small" is the posterior variance, "fixed_large" the forward step's beta.
    """

    variance: Literal["fixed_small", "fixed_large"] = "fixed_small"

    def __post_init__(self) -> None:
        check_variance("ddpm", self.variance)

    @classmethod
    def of_scheduler(cls, config: Mapping[str, Any]) -> DdpmOptions:
        """Take the variance that the config states."""
        stated = config.get("variance_type")
        return cls() if stated is None else cls(variance=stated)


def ddpm_reference(noise: NoiseSchedule, options: DdpmOptions) -> Any:
    """Make the diffusers scheduler that the table equals."""
    return noise.scheduler("DDPMScheduler", variance_type=options.variance)


def ancestral_row(noise: NoiseSchedule, timestep: int, after: int, variance: str) -> ScheduleRow:
    """Compute one DDPM step from a timestep to the next one visited.

    The posterior variance of the step to the clean sample is zero; diffusers clamps it to 1e-20,
    which changes no float32 number. At timestep 0 diffusers adds no noise of either variance.

    Args:
        noise: the checkpoint's noise schedule.
        timestep: where the sample is.
        after: the next timestep; negative for the clean sample.
        variance: one of `VARIANCES`.
    """
    here = noise.alphas_cumprod[timestep]
    there = noise.alphas_cumprod[after] if after >= 0 else 1.0
    x0, _ = noise.predictions(timestep)
    ratio = here / there
    to_x0 = math.sqrt(there) * (1.0 - ratio) / (1.0 - here)
    to_sample = math.sqrt(ratio) * (1.0 - there) / (1.0 - here)
    posterior = (1.0 - there) / (1.0 - here) * (1.0 - ratio)
    spread = posterior if variance == "fixed_small" else 1.0 - ratio
    mean = to_x0 * x0
    return ScheduleRow(
        timestep=float(timestep),
        sample=mean.sample + to_sample,
        output=mean.output,
        noise=math.sqrt(spread) if timestep > 0 else 0.0,
    )


def ddpm(noise: NoiseSchedule, steps: int, options: DdpmOptions, first: int) -> Course:
    """Write DDPM from a step on: x' = posterior mean + sqrt(posterior variance) noise."""
    timesteps = [int(t) for t in visited(noise, ddpm_reference(noise, options), steps, first)]
    rows = tuple(
        ancestral_row(noise, timestep, after, options.variance)
        for timestep, after in zip(timesteps, [*timesteps[1:], -1], strict=True)
    )
    levels = tuple(scales(noise.alphas_cumprod[timestep]) for timestep in timesteps)
    return Course(rows=rows, levels=levels)
