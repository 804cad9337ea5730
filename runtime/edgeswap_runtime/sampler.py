"""Sample latents: apply a schedule's table of scalars row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.manifest import Schedule

    Latents = NDArray[np.float32]  # (1, C, S, S)
    Denoise = Callable[[Latents, float], Latents]
    DrawNoise = Callable[[], Latents]


def sample_latents(schedule: Schedule, denoise: Denoise, draw_noise: DrawNoise) -> Latents:
    """Turn noise into a sample.

    For each row, o = denoise(input_scale * x, timestep), then
    x' = sample * x + output * o + noise * eps + history * m and
    m' = history_sample * x + history_output * o, with m = 0 before the first row.

    Args:
        schedule: the table; one row makes it a single pass.
        denoise: one evaluation of the denoiser: latents and timestep to its output, same shape.
        draw_noise: standard normal float32 of the sample's shape. Called once for the start, then
            once for each row whose `noise` is not 0, in order.

    Returns:
        the sample, float32.

    Source: the linear form shared by DDIM (Song et al. 2021, eq. 12), DDPM (Ho et al. 2020,
    algorithm 2) and DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); edgeswap_export computes the
    scalars.
    """
    sample = schedule.initial_noise_scale * draw_noise()
    memory = np.zeros_like(sample)
    for row in schedule.rows:
        output = denoise(row.input_scale * sample, row.timestep)
        following = row.sample * sample + row.output * output
        if row.history:
            following += row.history * memory
        if row.noise:
            following += row.noise * draw_noise()
        if row.history_sample or row.history_output:
            memory = row.history_sample * sample + row.history_output * output
        else:
            memory = np.zeros_like(sample)
        sample = following
    return sample


def noise_source(
    seed: int, shape: tuple[int, ...], first: NDArray[np.float32] | None = None
) -> DrawNoise:
    """Make a source of standard normal noise from a seed.

    Args:
        seed: seeds numpy's default generator; the same seed gives the same noise everywhere.
        shape: of each draw.
        first: returned by the first call instead of a draw, which then begins with the second.
    """
    generator = np.random.default_rng(seed)
    given = [] if first is None else [first]

    def draw() -> NDArray[np.float32]:
        return given.pop() if given else generator.standard_normal(shape, dtype=np.float32)

    return draw
