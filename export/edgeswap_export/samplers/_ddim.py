"""DDIM: Song, Meng & Ermon, arXiv 2010.02502, equations (12) and (16)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from diffusers import DDIMScheduler

from edgeswap_export._errors import UnsupportedSchedule
from edgeswap_export.samplers.noise import NoiseLevels, visited
from edgeswap_export.samplers.options import SamplerOptions
from edgeswap_runtime.bundle.manifest import Schedule, ScheduleRow


@dataclass(frozen=True, slots=True, kw_only=True)
class DdimOptions(SamplerOptions):
    """Options of the DDIM table.

    Attributes:
        eta: Share of the ancestral noise, in [0, 1]: 0 is deterministic, 1 the noise of DDPM.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.eta <= 1.0:
            raise UnsupportedSchedule(f"ddim eta must lie in [0, 1], found {self.eta:g}")


def ddim_reference(levels: NoiseLevels, options: DdimOptions) -> Any:
    """The diffusers scheduler that the table equals; none for eta > 0, which it takes per step."""
    return None if options.eta else levels.scheduler(DDIMScheduler)


def ddim(levels: NoiseLevels, steps: int, options: DdimOptions) -> Schedule:
    """Write DDIM as a table: x' = alpha' x0 + sqrt(sigma'^2 - s^2) eps + s noise."""
    timesteps = visited(levels, levels.scheduler(DDIMScheduler), steps)
    # diffusers lands this far below the timestep, whatever timestep it visits next.
    stride = len(levels.alphas_cumprod) // steps
    rows = []
    for timestep in map(int, timesteps):
        here, there = levels.alphas_cumprod[timestep], levels.after(timestep - stride)
        x0, eps = levels.predictions(timestep)
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
    return Schedule(sampler="ddim", steps=steps, initial_noise_scale=1.0, rows=tuple(rows))
