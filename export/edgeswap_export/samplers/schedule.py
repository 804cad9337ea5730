"""Write a sampler as a table of numbers, which the runtime runs without scheduler code."""

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
from edgeswap_export.samplers.course import WriteCourse, to_schedule
from edgeswap_export.samplers.noise import NoiseSchedule, read_noise_schedule
from edgeswap_export.samplers.options import SamplerOptions, SamplingPath
from edgeswap_runtime.bundle.manifest import Schedule


@dataclass(frozen=True, slots=True)
class Sampler:
    """A registered sampler.

    Attributes:
        write: (noise schedule, steps, options, first step) -> what it does from there on.
        options: the class of its options; all have defaults.
        reference_scheduler: (noise schedule, options) -> the diffusers scheduler that the table
            equals, or None where diffusers has none. An export is proven against it.
    """

    write: WriteCourse
    options: type[SamplerOptions]
    reference_scheduler: Callable[..., Any]


def no_reference(noise: NoiseSchedule, options: SamplerOptions) -> None:
    """Return None: diffusers has no such sampler."""


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
    path: SamplingPath | None = None,
) -> Schedule:
    """Write a sampler as the table of numbers that the runtime runs.

    Args:
        scheduler_config: the checkpoint's diffusers scheduler config (scheduler_config.json).
        sampler: a name in `SAMPLERS`.
        steps: sampler steps, at least 1.
        options: the sampler's own; None takes those that the config states, else the defaults.
        path: spacing of the timesteps, start and blending; None starts from noise, in the config's
            own spacing.

    Returns:
        the table, whose samples are those of the diffusers scheduler at every step.

    Raises:
        UnknownSampler: no sampler has that name.
        UnsupportedPrediction: the config states an unknown prediction type.
        UnsupportedSchedule: the steps, the options or the config cannot be written as a table.
        NoSignal: the model predicts noise and the schedule starts from pure noise.
    """
    check_sampler(sampler)
    check_steps(steps)
    path = SamplingPath() if path is None else path
    noise = read_noise_schedule(scheduler_config, path.spacing)
    chosen = _chosen(sampler, noise, options)
    course = SAMPLERS[sampler].write(noise, steps, chosen, path.first_step(steps))
    return to_schedule(sampler, steps, course, path)


def reference_scheduler(
    scheduler_config: Mapping[str, Any],
    sampler: str,
    options: SamplerOptions | None = None,
    path: SamplingPath | None = None,
) -> Any:
    """Make the diffusers scheduler that `schedule_table` equals; None where diffusers has none.

    Args:
        scheduler_config: as for `schedule_table`, and so are the others.
        sampler: likewise.
        options: likewise.
        path: likewise; only its spacing counts. Start and blending are the pipeline's.
    """
    check_sampler(sampler)
    noise = read_noise_schedule(scheduler_config, None if path is None else path.spacing)
    return SAMPLERS[sampler].reference_scheduler(noise, _chosen(sampler, noise, options))


def _chosen(sampler: str, noise: NoiseSchedule, options: SamplerOptions | None) -> SamplerOptions:
    kind = SAMPLERS[sampler].options
    chosen = kind.of_scheduler(noise.config) if options is None else options
    if not isinstance(chosen, kind):
        raise UnsupportedSchedule(f"{sampler} takes {kind.__name__}, found {type(chosen).__name__}")
    return chosen
