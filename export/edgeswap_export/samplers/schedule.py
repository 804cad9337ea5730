"""A diffusers scheduler, reduced to a table of scalars that needs no scheduler code to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgeswap_export._errors import UnknownSampler, UnsupportedSchedule
from edgeswap_export.samplers._ddim import DdimOptions, ddim, ddim_reference
from edgeswap_export.samplers._ddpm import DdpmOptions, ddpm, ddpm_reference
from edgeswap_export.samplers._dpmpp_2m import dpmpp_2m, dpmpp_2m_reference
from edgeswap_export.samplers._euler import euler, euler_reference
from edgeswap_export.samplers._langevin import LangevinOptions, langevin
from edgeswap_export.samplers._lcm import LcmOptions, lcm, lcm_reference
from edgeswap_export.samplers.noise import NoiseLevels, noise_levels
from edgeswap_export.samplers.options import SamplerOptions
from edgeswap_runtime.bundle.manifest import Schedule


@dataclass(frozen=True, slots=True)
class Sampler:
    """A registered sampler.

    Attributes:
        write: (noise levels, steps, options) -> table.
        options: The class of its options; they all have defaults.
        reference_scheduler: (noise levels, options) -> the diffusers scheduler that the table
            equals, or None where diffusers has none. An export is proven against it.
    """

    write: Callable[..., Schedule]
    options: type[SamplerOptions]
    reference_scheduler: Callable[..., Any]


def no_reference(levels: NoiseLevels, options: SamplerOptions) -> None:
    """For a sampler that diffusers does not have."""


SAMPLERS: dict[str, Sampler] = {
    "ddim": Sampler(ddim, DdimOptions, ddim_reference),
    "ddpm": Sampler(ddpm, DdpmOptions, ddpm_reference),
    "dpmpp_2m": Sampler(dpmpp_2m, SamplerOptions, dpmpp_2m_reference),
    "euler": Sampler(euler, SamplerOptions, euler_reference),
    "langevin": Sampler(langevin, LangevinOptions, no_reference),
    "lcm": Sampler(lcm, LcmOptions, lcm_reference),
}


def check_sampler(name: str) -> None:
    """Raise UnknownSampler unless the name is registered."""
    if name not in SAMPLERS:
        raise UnknownSampler(name, tuple(SAMPLERS))


def check_steps(steps: int) -> None:
    """Raise UnsupportedSchedule unless there is at least one step."""
    if steps < 1:
        raise UnsupportedSchedule(f"steps must be at least 1, found {steps}: ask for more")


def schedule_table(
    scheduler_config: Mapping[str, Any],
    sampler: str,
    steps: int,
    options: SamplerOptions | None = None,
) -> Schedule:
    """Reduce a sampler to the table of scalars that the runtime runs.

    Args:
        scheduler_config: The checkpoint's diffusers scheduler config (scheduler_config.json).
        sampler: A name in SAMPLERS.
        steps: Number of sampler steps, at least 1.
        options: The sampler's own options; None takes their defaults.

    Returns:
        The table. Running it gives, step by step, what the diffusers scheduler gives.

    Raises:
        UnknownSampler: No sampler has that name.
        UnsupportedPrediction: The config states an unknown prediction type.
        UnsupportedSchedule: The steps, the options or the config cannot be written as a table.
        NoSignal: The model predicts noise and the schedule starts from pure noise.
    """
    check_sampler(sampler)
    check_steps(steps)
    entry = SAMPLERS[sampler]
    chosen = entry.options() if options is None else options
    if not isinstance(chosen, entry.options):
        raise UnsupportedSchedule(
            f"{sampler} takes {entry.options.__name__}, found {type(chosen).__name__}"
        )
    return entry.write(noise_levels(scheduler_config), steps, chosen)
