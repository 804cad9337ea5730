"""Write LCM sampling as a table: Luo et al., arXiv 2310.04378, algorithm 3 (multistep sampling)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeswap_export._errors import UnsupportedSchedule
from edgeswap_export.samplers._linear import SAMPLE
from edgeswap_export.samplers.course import Course
from edgeswap_export.samplers.noise import NoiseSchedule, scales, visited
from edgeswap_export.samplers.options import SamplerOptions
from edgeswap_runtime.bundle.manifest import ScheduleRow

SIGMA_DATA = 0.5  # diffusers LCMScheduler.get_scalings_for_boundary_condition_discrete


@dataclass(frozen=True, slots=True, kw_only=True)
class LcmOptions(SamplerOptions):
    """Options of the consistency-model table.

    Attributes:
        original_steps: evenly spaced timesteps that the model was distilled on, at least 1.
        timestep_scaling: sharpness of the boundary condition; with a larger one the model's own
            prediction counts from smaller timesteps on.
    """

    original_steps: int = 50
    timestep_scaling: float = 10.0

    def __post_init__(self) -> None:
        if self.original_steps < 1:
            raise UnsupportedSchedule(
                f"lcm original_steps must be at least 1, found {self.original_steps}"
            )

    @classmethod
    def of_scheduler(cls, config: Mapping[str, Any]) -> LcmOptions:
        """Take what an LCM scheduler's config states."""
        named = {
            "original_steps": config.get("original_inference_steps"),
            "timestep_scaling": config.get("timestep_scaling"),
        }
        return cls(**{name: value for name, value in named.items() if value is not None})


def lcm_reference(noise: NoiseSchedule, options: LcmOptions) -> Any:
    """Make the diffusers scheduler that the table equals."""
    return noise.scheduler(
        "LCMScheduler",
        original_inference_steps=options.original_steps,
        timestep_scaling=options.timestep_scaling,
    )


def lcm(noise: NoiseSchedule, steps: int, options: LcmOptions, first: int) -> Course:
    """Write multistep consistency sampling from a step on.

    x' = alpha' (c_skip x + c_out x0) + sigma' noise, without the noise and alpha' at the last step.
    """
    timesteps = [int(t) for t in visited(noise, lcm_reference(noise, options), steps, first)]
    rows = []
    for timestep, after in zip(timesteps, [*timesteps[1:], -1], strict=True):
        scaled = timestep * options.timestep_scaling
        c_skip = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
        c_out = scaled / math.sqrt(scaled**2 + SIGMA_DATA**2)
        there = noise.alphas_cumprod[after] if after >= 0 else 1.0
        x0, _ = noise.predictions(timestep)
        step = math.sqrt(there) * (c_skip * SAMPLE + c_out * x0)
        rows.append(
            ScheduleRow(
                timestep=float(timestep),
                sample=step.sample,
                output=step.output,
                noise=math.sqrt(1.0 - there),
            )
        )
    levels = tuple(scales(noise.alphas_cumprod[timestep]) for timestep in timesteps)
    return Course(rows=tuple(rows), levels=levels)
