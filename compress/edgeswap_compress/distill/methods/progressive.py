"""Progressive distillation: one step of the student does what two of its teacher do."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.distill._task import StudentTask
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.noise_levels import CLEAN


class ProgressiveObjective(StudentTask):
    """One halving (2202.00512, algorithm 2), to a student of ``steps`` steps.

    The first teacher is guided, so that guidance is distilled in on the way (2210.03142); each
    student without guidance is then the teacher of the next halving. The loss is in x_0, the
    "truncated SNR" weighting of section 4 up to a constant, because a few-step student is asked at
    high noise, where a loss in the noise has no weight.

    Args:
        inputs: the teacher of this halving.
        steps: the student's; the teacher samples in twice as many.
        guided: whether the teacher samples with guidance.
    """

    def __init__(self, inputs: DistillInputs, *, steps: int, guided: bool) -> None:
        super().__init__(inputs)
        self.sampler = self._sampler(inputs.student, steps)
        grid = self._sampler(inputs.teacher, 2 * steps).timesteps
        self._grid = F.pad(grid, (0, 1), value=CLEAN)
        self._teacher_steps = 2 * steps
        if not guided:
            self._scale = 1.0

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss at random ones of the student's timesteps, of truths with noise."""
        batch = self.draw(draw, batch_size)
        level = torch.from_numpy(draw.rng.integers(len(self.timesteps), size=batch_size))
        now, middle, after = (self._grid[2 * level + i] for i in range(3))
        noise = draw.normal(batch.truth)
        x = self.noised(batch, noise, now)
        there = self.levels.step(x, self.teacher_velocity(batch, x, now), now, middle)
        there = self.sampler.blended(there, batch.target, noise, middle)
        end = self.levels.step(there, self.teacher_velocity(batch, there, middle), middle, after)
        parts: dict[str, float] = {}
        clean, features = self.student_clean(batch, x, now, parts)
        own = self.regression(clean, self._target(x, end, now, after), batch)
        parts["to_teacher"] = float(own.detach())
        return self.joined(own, clean, batch, draw, parts) + features, parts

    def _target(self, x: Tensor, end: Tensor, now: Tensor, after: Tensor) -> Tensor:
        """Give the clean sample for which one DDIM step from x would end there (appendix G)."""
        (a, s), (a_end, s_end) = self.levels.at(now), self.levels.at(after)
        ratio = s_end / s
        return (end - ratio * x) / (a_end - ratio * a)
