"""Noise levels of a diffusion schedule, and the arithmetic of v-prediction."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.errors import InvalidCheckpoint

PREDICTIONS = ("v_prediction", "epsilon", "sample")
"""What a U-Net may predict."""

CLEAN = -1
"""The timestep after the last one: no noise."""


class NoiseLevels:
    """Signal and noise of each timestep of a variance-preserving schedule.

    A noisy sample is x_t = a_t x_0 + s_t noise (2006.11239, eq. 4).

    Args:
        scheduler: a checkpoint's.
        predictions: what its U-Net may predict.

    Attributes:
        terminal: the last timestep.
        prediction: what the U-Net predicts.

    Raises:
        InvalidCheckpoint: it predicts something else, or the noise where no signal is left.
    """

    def __init__(self, scheduler: Any, *, predictions: Sequence[str] = ("v_prediction",)) -> None:
        self.prediction: str = scheduler.config.prediction_type
        if self.prediction not in predictions:
            raise InvalidCheckpoint(
                "scheduler: prediction_type",
                expected=" or ".join(predictions),
                found=self.prediction,
            )
        self._set_alphas(scheduler.alphas_cumprod)
        if self.prediction == "epsilon" and self._terminal_signal < 1e-8:
            raise InvalidCheckpoint(
                "scheduler: epsilon at zero terminal SNR",
                expected="some signal at the last timestep, or v_prediction",
                found="none: the noise there says nothing of the sample",
            )

    @classmethod
    def of_alphas(cls, alphas: Tensor) -> NoiseLevels:
        """Make the levels of a schedule, whatever its U-Net predicts.

        Args:
            alphas: (T,) cumulative products of 1 - beta, a scheduler's ``alphas_cumprod``.
        """
        levels = cls.__new__(cls)
        levels.prediction = "v_prediction"
        levels._set_alphas(alphas)
        return levels

    def _set_alphas(self, given: Tensor) -> None:
        alphas = torch.cat([given.float().cpu(), torch.ones(1)])
        self._terminal_signal = float(alphas[-2])
        self._tables = {alphas.device: (alphas.sqrt(), (1.0 - alphas).clamp(min=0.0).sqrt())}
        self.terminal = len(alphas) - 2

    def at(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Give signal and noise (N, 1, 1, 1) at timesteps (N,), on the timesteps' device."""
        if steps.device not in self._tables:
            first = next(iter(self._tables.values()))
            self._tables[steps.device] = (first[0].to(steps.device), first[1].to(steps.device))
        signal, noise = self._tables[steps.device]
        return signal[steps].view(-1, 1, 1, 1), noise[steps].view(-1, 1, 1, 1)

    def add(self, clean: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Add noise to clean samples, at timesteps (N,)."""
        a, s = self.at(steps)
        return a * clean + s * noise

    def velocity(self, clean: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Give the velocity that v-prediction learns (2202.00512, section 4)."""
        a, s = self.at(steps)
        return a * noise - s * clean

    def as_velocity(self, output: Tensor, x: Tensor, steps: Tensor) -> Tensor:
        """Convert what the U-Net predicts of x_t to the velocity.

        Of the noise it is (eps - s_t x_t) / a_t, of the sample (a_t x_t - x_0) / s_t: both from
        v = a_t eps - s_t x_0 (2202.00512, section 4) and x_t = a_t x_0 + s_t eps.
        """
        if self.prediction == "v_prediction":
            return output
        a, s = self.at(steps)
        if self.prediction == "epsilon":
            return (output - s * x) / a
        return (a * x - output) / s.clamp(min=1e-4)

    def clean(self, x: Tensor, velocity: Tensor, steps: Tensor) -> Tensor:
        """Recover the clean sample from a predicted velocity."""
        a, s = self.at(steps)
        return a * x - s * velocity

    def step(self, x: Tensor, velocity: Tensor, steps: Tensor, after: Tensor) -> Tensor:
        """Take one DDIM step (2010.02502, eq. 12 with sigma = 0) from timesteps to earlier ones."""
        a, s = self.at(steps)
        noise = s * x + a * velocity
        return self.add(self.clean(x, velocity, steps), noise, after)


def sample(
    levels: NoiseLevels,
    velocity: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    timesteps: Tensor,
) -> Tensor:
    """Sample by DDIM from pure noise.

    Args:
        levels: of the schedule.
        velocity: of x (N, C, S, S) at timesteps (N,).
        noise: (N, C, S, S).
        timesteps: (steps,), descending; the last one is followed by the clean sample.

    Returns:
        (N, C, S, S) the samples.
    """
    x, visited = noise, F.pad(timesteps.to(noise.device), (0, 1), value=CLEAN)
    for now, after in itertools.pairwise(visited):
        steps, later = now.expand(len(x)), after.expand(len(x))
        x = levels.step(x, velocity(x, steps), steps, later)
    return x


def timesteps_of(scheduler: Any, steps: int) -> Tensor:
    """Give the timesteps (steps,) that a checkpoint's scheduler visits, descending."""
    scheduler.set_timesteps(steps)
    found: Tensor = scheduler.timesteps.clone()
    return found


def draw_timesteps(
    rng: np.random.Generator, n: int, terminal: int, terminal_share: float
) -> Tensor:
    """Draw timesteps (N,) to train at: more noisy ones than clean ones, and many of pure noise.

    Args:
        rng: source of the randomness.
        n: how many.
        terminal: the last timestep, of pure noise.
        terminal_share: share of them at the last timestep, 0 to 1.
    """
    steps = (rng.random(n) ** 0.7 * terminal).astype(np.int64)
    return torch.from_numpy(np.where(rng.random(n) < terminal_share, terminal, steps))
