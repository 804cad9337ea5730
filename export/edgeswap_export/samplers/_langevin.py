"""Ancestral steps corrected by Langevin dynamics: Song et al., arXiv 2011.13456, algorithm 5."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from diffusers import DDPMScheduler

from edgeswap_export._errors import UnsupportedSchedule
from edgeswap_export.samplers._ddpm import ancestral_row
from edgeswap_export.samplers._linear import SAMPLE
from edgeswap_export.samplers.noise import NoiseLevels, scales, visited
from edgeswap_export.samplers.options import SamplerOptions, check_variance
from edgeswap_runtime.bundle.manifest import Schedule, ScheduleRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LangevinOptions(SamplerOptions):
    """Options of the Langevin-corrected table.

    Attributes:
        corrector_steps: Langevin steps at every noise level an ancestral step arrives at.
        step_size: kappa in units of the noise variance there, kappa = step_size * sigma^2, in
            (0, 4). The paper's r (its "signal-to-noise ratio", 0.16) is step_size = 4 r^2 = 0.1;
            it scales by norms measured on the way, a table by the norms they have on average.
        variance: As in DdpmOptions.
    """

    corrector_steps: int = 1
    step_size: float = 0.1
    variance: Literal["fixed_small", "fixed_large"] = "fixed_small"

    def __post_init__(self) -> None:
        if self.corrector_steps < 0:
            raise UnsupportedSchedule(
                f"langevin corrector_steps must not be negative, found {self.corrector_steps}"
            )
        # At 4 the correction of pure noise overshoots by as much as it corrects: it diverges.
        if not 0.0 < self.step_size < 4.0:
            raise UnsupportedSchedule(
                f"langevin step_size must lie between 0 and 4, found {self.step_size:g}"
            )
        check_variance("langevin", self.variance)


def corrector_row(levels: NoiseLevels, timestep: int, step_size: float) -> ScheduleRow:
    """One Langevin step at one noise level: x' = x + kappa (grad log p / 2 + noise / sqrt(kappa)).

    The score is grad log p(x) = -eps / sigma, so the step leaves
    the density of the noisy samples as it is, up to terms of second order in kappa.
    """
    _, sigma = scales(levels.alphas_cumprod[timestep])
    _, eps = levels.predictions(timestep)
    kappa = step_size * sigma**2
    score = (-1.0 / sigma) * eps
    step = SAMPLE + (0.5 * kappa) * score
    return ScheduleRow(
        timestep=float(timestep),
        sample=step.sample,
        output=step.output,
        noise=math.sqrt(kappa),
    )


def langevin(levels: NoiseLevels, steps: int, options: LangevinOptions) -> Schedule:
    """Write the predictor-corrector sampler as a table.

    Every ancestral step but the last, which arrives at the clean sample, is followed by the
    corrector steps of the level it arrived at; a corrector row evaluates the model at that level.
    """
    scheduler = levels.scheduler(DDPMScheduler, variance_type=options.variance)
    timesteps = [int(t) for t in visited(levels, scheduler, steps)]
    rows = []
    for timestep, after in zip(timesteps, [*timesteps[1:], -1], strict=True):
        rows.append(ancestral_row(levels, timestep, after, options.variance))
        if after >= 0:
            rows += [corrector_row(levels, after, options.step_size)] * options.corrector_steps
    return Schedule(sampler="langevin", steps=steps, initial_noise_scale=1.0, rows=tuple(rows))
