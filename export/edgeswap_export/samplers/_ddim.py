"""Write DDIM as a table: Song, Meng & Ermon, arXiv 2010.02502, equations (12) and (16)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgeswap_export._errors import UnsupportedSchedule
from edgeswap_export.samplers.course import Course
from edgeswap_export.samplers.noise import NoiseSchedule, scales, visited
from edgeswap_export.samplers.options import SamplerOptions
from edgeswap_runtime.bundle.manifest import ScheduleRow


@dataclass(frozen=True, slots=True, kw_only=True)
class DdimOptions(SamplerOptions):
    """Options of the DDIM table.

    Attributes:
        eta: share of DDPM's noise that is added at each step, 0 to 1; 0 adds none.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.eta <= 1.0:
            raise UnsupportedSchedule(f"ddim eta must lie in [0, 1], found {self.eta:g}")


def ddim_reference(noise: NoiseSchedule, options: DdimOptions) -> Any:
    """Make the diffusers scheduler that the table equals; None for eta > 0, given only per step."""
    return None if options.eta else noise.scheduler("DDIMScheduler")


def ddim(noise: NoiseSchedule, steps: int, options: DdimOptions, first: int) -> Course:
    """Write DDIM from a step on: x' = alpha' x0 + sqrt(sigma'^2 - s^2) eps + s noise."""
    timesteps = visited(noise, noise.scheduler("DDIMScheduler"), steps, first)
    # diffusers lands this far below the timestep, whatever timestep it visits next.
    stride = len(noise.alphas_cumprod) // steps
    rows, levels = [], []
    for timestep in map(int, timesteps):
        here, there = noise.alphas_cumprod[timestep], noise.after(timestep - stride)
        levels.append(scales(here))
        x0, eps = noise.predictions(timestep)
        variance = options.eta**2 * (1.0 - there) / (1.0 - here) * (1.0 - here / there)
        step = math.sqrt(there) * x0 + math.sqrt(max(1.0 - there - variance, 0.0)) * eps
        rows.append(
            ScheduleRow(
                timestep=float(timestep),
                sample=step.sample,
                output=step.output,
                noise=math.sqrt(variance),
            )
        )
    return Course(rows=tuple(rows), levels=tuple(levels))
