"""Noise levels of a diffusion schedule, and the arithmetic of what U-Nets predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeswap_compress.errors import InvalidCheckpoint

PREDICTIONS = ("v_prediction", "epsilon", "sample")
"""What a U-Net may predict."""

CLEAN = -1
"""The timestep after the last one: no noise."""

LEAST_NOISE, LEAST_SIGNAL = 1e-4, 1e-8
"""Below these the noise divides by nothing, and the signal is none."""


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

    def __init__(self, scheduler: Any, *, predictions: Sequence[str] = PREDICTIONS) -> None:
        self.prediction: str = scheduler.config.prediction_type
        if self.prediction not in predictions:
            raise InvalidCheckpoint(
                "scheduler: prediction_type",
                expected=" or ".join(predictions),
                found=self.prediction,
            )
        self._set_alphas(scheduler.alphas_cumprod)
        if self.prediction == "epsilon" and self.ends_in_noise:
            raise InvalidCheckpoint(
                "scheduler: epsilon at zero terminal SNR",
                expected="some signal at the last timestep, or v_prediction",
                found="none: the noise there says nothing of the sample",
            )

    @classmethod
    def of_alphas(cls, alphas: Tensor, prediction: str) -> NoiseLevels:
        """Make the levels of a schedule.

        Args:
            alphas: (T,) cumulative products of 1 - beta, a scheduler's ``alphas_cumprod``.
            prediction: what its U-Net predicts.
        """
        levels = cls.__new__(cls)
        levels.prediction = prediction
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
        return (a * x - output) / s.clamp(min=LEAST_NOISE)

    def velocity_to(self, x: Tensor, clean: Tensor, steps: Tensor) -> Tensor:
        """Give the velocity for which x_t is recovered to a clean sample, whatever x_t is."""
        a, s = self.at(steps)
        return (a * x - clean) / s.clamp(min=LEAST_NOISE)

    def wanted(self, x: Tensor, clean: Tensor, steps: Tensor) -> Tensor:
        """Give what the U-Net has to predict of x_t for it to be recovered to a clean sample.

        Of x_t = a_t x_0 + s_t eps that is the noise, the velocity or the sample.
        """
        a, s = self.at(steps)
        if self.prediction == "sample":
            return clean
        if self.prediction == "epsilon":
            return (x - a * clean) / s.clamp(min=LEAST_NOISE)
        return self.velocity_to(x, clean, steps)

    @property
    def ends_in_noise(self) -> bool:
        """Whether no signal is left at the last timestep (zero terminal SNR, 2305.08891)."""
        return self._terminal_signal < LEAST_SIGNAL

    def clean(self, x: Tensor, velocity: Tensor, steps: Tensor) -> Tensor:
        """Recover the clean sample from a predicted velocity."""
        a, s = self.at(steps)
        return a * x - s * velocity

    def step(self, x: Tensor, velocity: Tensor, steps: Tensor, after: Tensor) -> Tensor:
        """Take one DDIM step (2010.02502, eq. 12 with sigma = 0) from timesteps to earlier ones."""
        a, s = self.at(steps)
        noise = s * x + a * velocity
        return self.add(self.clean(x, velocity, steps), noise, after)


def timesteps_of(scheduler: Any, steps: int, *, kept: int | None = None) -> Tensor:
    """Give the timesteps that a scheduler visits, descending, as whole numbers.

    Args:
        scheduler: a checkpoint's.
        steps: of the whole schedule.
        kept: how many of them are run, the last ones; all when None.
    """
    scheduler.set_timesteps(steps)
    found: Tensor = scheduler.timesteps
    return found[len(found) - (kept or len(found)) :].round().long().clone()


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
