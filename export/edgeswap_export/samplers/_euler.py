"""Write Euler's method as a table: Karras et al., arXiv 2206.00364, algorithm 1, first order."""

from __future__ import annotations

import math
from typing import Any

from edgeswap_export.samplers._linear import SAMPLE, Linear, predictions
from edgeswap_export.samplers.course import Course
from edgeswap_export.samplers.noise import NoiseSchedule, visited
from edgeswap_export.samplers.options import SamplerOptions
from edgeswap_runtime.bundle.manifest import ScheduleRow

KIND = "EulerDiscreteScheduler"


def euler_reference(noise: NoiseSchedule, options: SamplerOptions) -> Any:
    """Make the diffusers scheduler that the table equals.

    Raises:
        UnsupportedSchedule: the config asks for timesteps that no checkpoint here is trained on.
    """
    noise.require(KIND, "timestep_type", ("discrete",))
    return noise.scheduler(KIND)


def euler(noise: NoiseSchedule, steps: int, options: SamplerOptions, first: int) -> Course:
    """Write Euler's method from a step on: x' = x + (sigma' - sigma) (x - x0) / sigma.

    The sample lives in the variance-exploding coordinates of the paper, x = x0 + sigma eps, so it
    starts at the largest sigma and the model sees it divided by sqrt(sigma^2 + 1). Where the
    checkpoint's terminal signal-to-noise ratio is zero sigma would be infinite; as in diffusers the
    last alphas_cumprod is then 2^-24, which makes it 4096.
    """
    scheduler = euler_reference(noise, options)
    timesteps = visited(noise, scheduler, steps, first)
    scheduler.sigmas = scheduler.sigmas.double()  # init_noise_sigma computes with them
    sigmas = [float(s) for s in scheduler.sigmas][first : steps + 1]
    rows = []
    for timestep, sigma, after in zip(timesteps, sigmas[:-1], sigmas[1:], strict=True):
        input_scale = 1.0 / math.sqrt(sigma**2 + 1.0)
        # alpha and sigma of the same noise level where variance is preserved; the prediction is
        # made there, on the scaled sample.
        x0, _ = predictions(noise.prediction_type, input_scale, sigma * input_scale)
        x0 = Linear(x0.sample * input_scale, x0.output)
        step = SAMPLE + ((after - sigma) / sigma) * (SAMPLE - x0)
        rows.append(
            ScheduleRow(
                timestep=float(timestep),
                input_scale=input_scale,
                sample=step.sample,
                output=step.output,
            )
        )
    return Course(
        rows=tuple(rows),
        levels=tuple((1.0, sigma) for sigma in sigmas[:-1]),
        initial_noise_scale=float(scheduler.init_noise_sigma),
    )
