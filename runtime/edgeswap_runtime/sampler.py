"""Sample latents: apply a schedule's table of scalars row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.manifest import Schedule

    Latents = NDArray[np.float32]  # (1, C, S, S)
    Denoise = Callable[[Latents, float], Latents]
    DrawNoise = Callable[[], Latents]


@dataclass(frozen=True, slots=True)
class TargetLatents:
    """The target, where a schedule starts from it or keeps a part of it.

    Attributes:
        latents: (1, C, S, S) float32, what `encode` gives as `target_latents`.
        mask: (1, 1 or C, S, S) float32, what it gives as `latent_mask`: 1 where the swap repaints,
            0 where the target stays; None for a schedule without blending.
    """

    latents: Latents
    mask: NDArray[np.float32] | None = None


def sample_latents(
    schedule: Schedule,
    denoise: Denoise,
    draw_noise: DrawNoise,
    *,
    target: TargetLatents | None = None,
) -> Latents:
    """Turn noise, or a noisy target, into a sample.

    It starts at x = start_signal * z + initial_noise_scale * eps0, with the target's latents z.
    For each row, o = denoise(input_scale * x, timestep), then
    x' = sample * x + output * o + noise * eps + history * m and
    m' = history_sample * x + history_output * o, with m = 0 before the first row. A row that blends
    then keeps the target outside the mask k:
    k * x' + (1 - k) * (blend_signal * z + blend_noise * eps0).

    Args:
        schedule: the table; one row makes it a single pass.
        denoise: one evaluation of the denoiser: latents and timestep to its output, same shape.
        draw_noise: standard normal float32 of the sample's shape. Called once for the start, then
            once for each row whose `noise` is not 0, in order.
        target: needed where `schedule.needs_target`.

    Returns:
        the sample, float32.

    Raises:
        InvalidRequest: the schedule needs the target's latents or mask, and there are none.

    Source: the linear form shared by DDIM (Song et al. 2021, eq. 12), DDPM (Ho et al. 2020,
    algorithm 2) and DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); the start is that of SDEdit
    (Meng et al. 2022, algorithm 1), blending that of RePaint (Lugmayr et al. 2022, eq. 8).
    edgeswap_export computes the scalars.
    """
    if schedule.needs_target and (target is None or (schedule.blends and target.mask is None)):
        raise InvalidRequest(
            f"schedule '{schedule.sampler}' starts from the target's latents or blends them in, "
            "and was given none"
        )
    first = draw_noise()
    sample = schedule.initial_noise_scale * first
    if target is not None and schedule.start_signal:
        sample += schedule.start_signal * target.latents
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
        if row.blends and target is not None and target.mask is not None:
            kept = row.blend_signal * target.latents + row.blend_noise * first
            following = target.mask * following + (1 - target.mask) * kept
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
