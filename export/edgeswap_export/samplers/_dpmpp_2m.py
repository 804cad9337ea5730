"""Write DPM-Solver++(2M) as a table: Lu et al., arXiv 2211.01095, algorithm 2."""

from __future__ import annotations

import math
from typing import Any

from edgeswap_export.samplers._linear import predictions
from edgeswap_export.samplers.noise import NoiseSchedule, visited
from edgeswap_export.samplers.options import SamplerOptions
from edgeswap_runtime.bundle.manifest import Schedule, ScheduleRow


def dpmpp_2m_reference(noise: NoiseSchedule, options: SamplerOptions) -> Any:
    """Make the diffusers scheduler that the table equals."""
    return noise.scheduler(
        "DPMSolverMultistepScheduler",
        solver_order=2,
        solver_type="midpoint",
        algorithm_type="dpmsolver++",
        final_sigmas_type="zero",
    )


def dpmpp_2m(noise: NoiseSchedule, steps: int, options: SamplerOptions) -> Schedule:
    """Write the two-step solver as a table; the history holds the previous predicted x0.

    x' = (sigma'/sigma) x - alpha' (e^-h - 1) ((1 + w) x0 - w previous x0), w = h / (2 h_previous),
    h the step in log(alpha/sigma); the first and the last step are of first order (w = 0).
    """
    scheduler = dpmpp_2m_reference(noise, options)
    timesteps = visited(noise, scheduler, steps)
    ratios = [float(s) for s in scheduler.sigmas]  # sigma / alpha, the last one zero
    rows = []
    for index, timestep in enumerate(timesteps):
        alpha, sigma = _split(ratios[index])
        alpha_after, sigma_after = _split(ratios[index + 1])
        x0, _ = predictions(noise.prediction_type, alpha, sigma)
        # e^-h = (sigma'/alpha') / (sigma/alpha), without a logarithm, which could be infinite.
        gain = alpha_after * (1.0 - ratios[index + 1] / ratios[index])
        weight = 0.0
        if 0 < index < steps - 1:
            h = math.log(ratios[index] / ratios[index + 1])
            weight = 0.5 * h / math.log(ratios[index - 1] / ratios[index])
        now = gain * (1.0 + weight) * x0
        rows.append(
            ScheduleRow(
                timestep=float(timestep),
                sample=sigma_after / sigma + now.sample,
                output=now.output,
                history=-gain * weight,
                history_sample=x0.sample,
                history_output=x0.output,
            )
        )
    return Schedule(sampler="dpmpp_2m", steps=steps, initial_noise_scale=1.0, rows=tuple(rows))


def _split(ratio: float) -> tuple[float, float]:
    alpha = 1.0 / math.sqrt(ratio**2 + 1.0)
    return alpha, ratio * alpha
