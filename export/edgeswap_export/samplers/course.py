"""Hold a sampler's rows with the noise levels between them, and make a table of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgeswap_export.samplers.options import SamplingPath
from edgeswap_runtime.bundle.manifest import Schedule, ScheduleRow

Level = tuple[float, float]
"""(signal, noise): the noisy form of latents z at this level is signal * z + noise * eps."""

CLEAN: Level = (1.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a sampler does from one step on to the end.

    Attributes:
        rows: the evaluations.
        levels: where the sample is before each row, in the sampler's own coordinates.
        initial_noise_scale: of the noise that sampling starts from at the first step of all.
    """

    rows: tuple[ScheduleRow, ...]
    levels: tuple[Level, ...]
    initial_noise_scale: float = 1.0


WriteCourse = Callable[..., Course]
"""(noise schedule, steps, options, first step) -> course."""


def to_schedule(sampler: str, steps: int, course: Course, path: SamplingPath) -> Schedule:
    """Make the table: the start of a path, the rows of a course, and blending after each.

    After the last row the sample is clean, and so is what is blended in, as in diffusers.

    Args:
        sampler: its name.
        steps: of the whole schedule, those before the course too.
        course: from the path's first step on.
        path: says where sampling starts and whether it blends.
    """
    start_signal, scale = 0.0, course.initial_noise_scale
    if path.strength is not None:
        start_signal, scale = course.levels[0]
    rows = course.rows
    if path.blend:
        after = (*course.levels[1:], CLEAN)
        rows = tuple(
            replace(row, blend_signal=signal, blend_noise=noise)
            for row, (signal, noise) in zip(rows, after, strict=True)
        )
    return Schedule(
        sampler=sampler,
        steps=steps,
        initial_noise_scale=scale,
        start_signal=start_signal,
        rows=rows,
    )
