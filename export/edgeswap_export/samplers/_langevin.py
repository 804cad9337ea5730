"""Write DDPM with Langevin correction as a table: Song et al., arXiv 2011.13456, algorithm 5."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgeswap_export._errors import UnsupportedSchedule
from edgeswap_export.samplers._ddpm import ancestral_row
from edgeswap_export.samplers._linear import SAMPLE
from edgeswap_export.samplers.course import Course
from edgeswap_export.samplers.noise import NoiseSchedule, scales, visited
from edgeswap_export.samplers.options import SamplerOptions, check_variance
from edgeswap_runtime.bundle.manifest import ScheduleRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LangevinOptions(SamplerOptions):
    """Options of the Langevin-corrected table.

    Attributes:
        corrector_steps: Langevin steps after each DDPM step but the last, 0 or more.
        step_size: kappa / sigma^2, between 0 and 4. The paper's ratio r = 0.16 is step_size =
            4 r^2 = 0.1; the paper scales by measured norms, a table by the norms' mean values.
        variance: as in `DdpmOptions`.
    """

    corrector_steps: int = 1
    step_size: float = 0.1
    variance: Literal["fixed_small", "fixed_large"] = "fixed_small"

    def __post_init__(self) -> None:
        if self.corrector_steps < 0:
            raise UnsupportedSchedule(
                f"langevin corrector_steps must not be negative, found {self.corrector_steps}"
            )
        # From 4 on the correction of pure noise is larger than twice the noise: it diverges.
        if not 0.0 < self.step_size < 4.0:
            raise UnsupportedSchedule(
                f"langevin step_size must lie between 0 and 4, found {self.step_size:g}"
            )
        check_variance("langevin", self.variance)

    @classmethod
    def of_scheduler(cls, config: Mapping[str, Any]) -> LangevinOptions:
        """Take the variance that the config states."""
        stated = config.get("variance_type")
        return cls() if stated is None else cls(variance=stated)


def corrector_row(noise: NoiseSchedule, timestep: int, step_size: float) -> ScheduleRow:
    """Compute one Langevin step: x' = x + kappa (grad log p / 2 + noise / sqrt(kappa)).

    The score is grad log p(x) = -eps / sigma. The step keeps the density of the noisy samples, up
    to terms of second order in kappa.
    """
    _, sigma = scales(noise.alphas_cumprod[timestep])
    _, eps = noise.predictions(timestep)
    kappa = step_size * sigma**2
    score = (-1.0 / sigma) * eps
    step = SAMPLE + (0.5 * kappa) * score
    return ScheduleRow(
        timestep=float(timestep),
        sample=step.sample,
        output=step.output,
        noise=math.sqrt(kappa),
    )


def langevin(noise: NoiseSchedule, steps: int, options: LangevinOptions, first: int) -> Course:
    """Write the predictor-corrector sampler from a step on.

    Every DDPM step but the last, which ends at the clean sample, is followed by the corrector
    steps; each evaluates the model at the timestep where the DDPM step has ended.
    """
    scheduler = noise.scheduler("DDPMScheduler", variance_type=options.variance)
    timesteps = [int(t) for t in visited(noise, scheduler, steps, first)]
    rows, levels = [], []
    for timestep, after in zip(timesteps, [*timesteps[1:], -1], strict=True):
        rows.append(ancestral_row(noise, timestep, after, options.variance))
        levels.append(scales(noise.alphas_cumprod[timestep]))
        if after >= 0:
            rows += [corrector_row(noise, after, options.step_size)] * options.corrector_steps
            levels += [scales(noise.alphas_cumprod[after])] * options.corrector_steps
    return Course(rows=tuple(rows), levels=tuple(levels))
