"""Write DPM-Solver++(2M) as a table: Lu et al., arXiv 2211.01095, algorithm 2."""

from __future__ import annotations

import math
from typing import Any

from edgeswap_export.samplers._linear import predictions
from edgeswap_export.samplers.course import Course
from edgeswap_export.samplers.noise import NoiseSchedule, visited
from edgeswap_export.samplers.options import SamplerOptions
from edgeswap_runtime.bundle.manifest import ScheduleRow

KIND = "DPMSolverMultistepScheduler"
FEW_STEPS = 15
"""Below so many steps diffusers ends with a step of first order, where the config allows it."""


def dpmpp_2m_reference(noise: NoiseSchedule, options: SamplerOptions) -> Any:
    """Make the diffusers scheduler that the table equals.

    Raises:
        UnsupportedSchedule: the config asks for another solver of the family.
    """
    noise.require(KIND, "algorithm_type", ("dpmsolver++",))
    noise.require(KIND, "solver_type", ("midpoint", "heun"))
    noise.require(KIND, "solver_order", (1, 2))
    noise.require(KIND, "use_flow_sigmas", (False,))
    noise.require(KIND, "variance_type", (None, "fixed_small", "fixed_large"))
    return noise.scheduler(KIND)


def dpmpp_2m(noise: NoiseSchedule, steps: int, options: SamplerOptions, first: int) -> Course:
    """Write the two-step solver from a step on; the history holds the previous predicted x0.

    x' = (sigma'/sigma) x - alpha' (e^-h - 1) ((1 + w) x0 - w previous x0), w = h / (2 h_previous),
    h the step in log(alpha/sigma). The first step is of first order (w = 0), and so is the last one
    where it ends at the clean sample or the config says so. The config's solver_type "heun" takes
    w = (h / (1 - e^-h) - 1) / h_previous instead.
    """
    scheduler = dpmpp_2m_reference(noise, options)
    timesteps = visited(noise, scheduler, steps, first, by_index=True)
    ratios = [float(s) for s in scheduler.sigmas]  # sigma / alpha
    rows = []
    for index, timestep in enumerate(timesteps, start=first):
        alpha, sigma = _split(ratios[index])
        alpha_after, sigma_after = _split(ratios[index + 1])
        x0, _ = predictions(noise.prediction_type, alpha, sigma)
        # e^-h = (sigma'/alpha') / (sigma/alpha), without a logarithm, which could be infinite.
        gain = alpha_after * (1.0 - ratios[index + 1] / ratios[index])
        weight = 0.0
        if index > first and not _is_first_order(scheduler.config, index, steps):
            h = math.log(ratios[index] / ratios[index + 1])
            before = math.log(ratios[index - 1] / ratios[index])
            weight = 0.5 * h / before
            if scheduler.config.solver_type == "heun":
                weight = (h / -math.expm1(-h) - 1.0) / before
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
    return Course(rows=tuple(rows), levels=tuple(_split(ratio) for ratio in ratios[first:-1]))


def _is_first_order(config: Any, index: int, steps: int) -> bool:
    """Whether diffusers takes a step of first order here, whatever it knows of earlier ones."""
    if config.solver_order == 1:
        return True
    few = config.lower_order_final and steps < FEW_STEPS
    ends = config.euler_at_final or few or config.final_sigmas_type == "zero"
    return index == steps - 1 and bool(ends)


def _split(ratio: float) -> tuple[float, float]:
    alpha = 1.0 / math.sqrt(ratio**2 + 1.0)
    return alpha, ratio * alpha
