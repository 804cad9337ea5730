"""Latent consistency distillation: all points of a teacher's path give the same clean sample."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.distill._task import StudentTask
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.noise_levels import CLEAN


class LcmObjective(StudentTask):
    """Consistency (2303.01469, algorithm 2) along a guided solver's path in latents (2310.04378).

    The student at x_t must say what it says at the point to which one DDIM step of the guided
    teacher leads from x_t; at the end of the path it must say the path's end. The solver goes along
    a grid of ``teacher_steps`` timesteps, LCM's skipping. v-prediction meets the boundary condition
    by itself (c_skip = a_t and c_out = -s_t go to 1 and 0). The student is its own target network,
    without a moving average, and the distance is pseudo-Huber (both 2310.14189).
    """

    def __init__(self, inputs: DistillInputs) -> None:
        super().__init__(inputs)
        grid = self._sampler(inputs.teacher, inputs.config.teacher_steps).timesteps
        self._grid = F.pad(grid, (0, 1), value=CLEAN)

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss at random points of the grid, a third of them at the student's steps."""
        config, batch = self._config, self.draw(draw, batch_size)
        level = draw.rng.integers(len(self._grid) - 1, size=batch_size)
        every = config.teacher_steps // config.steps
        asked = draw.rng.integers(len(self.timesteps), size=batch_size) * every
        level[: batch_size // 3] = asked[: batch_size // 3]
        now, after = (self._grid[torch.from_numpy(level) + i] for i in range(2))
        noise = draw.normal(batch.truth)
        x = self.noised(batch, noise, now)
        there = self.levels.step(x, self.teacher_velocity(batch, x, now), now, after)
        there = self.sampler.blended(there, batch.target, noise, after)
        with torch.no_grad():
            # where the path has ended there is nothing to evaluate: the point is the answer
            asked_at = after.clamp(min=0)
            velocity = self.student_velocity(batch, there, asked_at)
            said = self.sampler.ended(self.levels.clean(there, velocity, asked_at), batch.target)
            wanted = torch.where((after == CLEAN).view(-1, 1, 1, 1), there, said)
        parts: dict[str, float] = {}
        clean, features = self.student_clean(batch, x, now, parts)
        own = self._huber(clean - wanted, batch.weights)
        parts["to_teacher"] = float(own.detach())
        return self.joined(own, clean, batch, draw, parts) + features, parts

    @staticmethod
    def _huber(apart: Tensor, weights: Tensor) -> Tensor:
        """Measure the pseudo-Huber distance (2310.14189, eq. 8), c for samples of unit variance."""
        size = apart[0].numel()
        c = 0.00054 * size**0.5
        distance = ((apart.square() * weights).sum((1, 2, 3)) + c * c).sqrt() - c
        return (distance / size**0.5).mean()
