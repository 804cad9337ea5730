"""Regression of a few-step student to the teacher's trajectories and to the exact truth."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeswap_compress.distill._task import StudentTask
from edgeswap_compress.distill.material.trajectories import Trajectories, trajectory_pairs
from edgeswap_compress.distill.material.triplets import TripletBatch
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.material.pairs import taken


class TrajectoryObjective(StudentTask):
    """From x_t on the teacher's trajectory, predict where the trajectory ends (2101.02388).

    Asked at ``steps`` timesteps, so that a student of several steps is trained at each of them.
    Trajectories are few, because each costs the teacher many evaluations; exact truths are many.
    So where truths are wanted, half of every batch is fresh triplets, whose truth is noised to the
    student's timesteps (q(x_t | x_0), 2006.11239, eq. 4) and asked back. The student can then
    become better than what it learns from.
    """

    def __init__(self, inputs: DistillInputs, trajectories: Trajectories) -> None:
        super().__init__(inputs)
        self._trajectories = trajectories
        self._drawn = trajectory_pairs(inputs.pairs, inputs.config)

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of trajectories and, unless ``truth_weight`` is 0, as many truths."""
        config, weight = self._config, self._config.losses.truth_weight
        level = torch.from_numpy(draw.rng.integers(len(self.timesteps), size=batch_size))
        half = batch_size if weight == 0.0 else batch_size // 2
        pick = draw.rng.integers(config.teacher.targets, size=half)
        parts: dict[str, float] = {}
        total = (1.0 - weight) * self._on_trajectories(draw, pick, level[:half], parts)
        if weight > 0.0:
            total = total + weight * self._on_truths(draw, level[half:], parts)
        return total, parts

    def _on_trajectories(
        self, draw: Draw, pick: NDArray[np.int64], level: Tensor, parts: dict[str, float]
    ) -> Tensor:
        batch, found = self.batch(taken(self._drawn, pick)), self._trajectories
        steps = self.timesteps[level]
        signal, _ = self.levels.at(steps)
        # what of a state is the target's is the student's own encoding of it in use
        apart = self.sampler.target_share(steps) * (batch.target - batch.teacher_target)
        x = found.states[pick, level].to(self._device) + signal * (batch.offset + apart)
        wanted = found.results[pick].to(self._device) + batch.offset
        return self._learn("to_teacher", draw, batch, x, level, wanted, parts)

    def _on_truths(self, draw: Draw, level: Tensor, parts: dict[str, float]) -> Tensor:
        batch = self.draw(draw, len(level), exact=not self._pairs.has_truths)
        x = self.noised(batch, draw.normal(batch.truth), self.timesteps[level])
        return self._learn("to_truth", draw, batch, x, level, batch.truth, parts)

    def _learn(
        self,
        name: str,
        draw: Draw,
        batch: TripletBatch,
        x: Tensor,
        level: Tensor,
        wanted: Tensor,
        parts: dict[str, float],
    ) -> Tensor:
        clean, features = self.student_clean(batch, x, self.timesteps[level], parts)
        loss = self.regression(clean, wanted, batch)
        parts[name] = float(loss.detach())
        return loss + features + self.look(clean, batch, draw, parts, f"{name}_")
