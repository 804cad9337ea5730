"""Regression of a few-step student to the teacher's trajectories and to the exact truth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgeswap_compress._checkpoint import Checkpoint
from edgeswap_compress._latents import latents_to_sample, predict, sample_to_latents
from edgeswap_compress.distill._config import DistillConfig
from edgeswap_compress.distill._trajectories import Trajectories, trajectory_triplets
from edgeswap_compress.train._cache import LatentGroups, TripletDraw
from edgeswap_compress.train._denoiser import Denoiser
from edgeswap_compress.train._loop import Draw
from edgeswap_compress.train._losses import LatentIdentityLoss, mask_weights


class TrajectoryObjective:
    """From x_t on the teacher's trajectory, predict where the trajectory ends (2101.02388).

    Asked at ``steps`` timesteps, so that a student of several steps is trained at each of them.
    Where the data holds exact truths, part of the regression goes to the truth instead of to the
    teacher's result: the student can then be better than what it learns from.
    """

    def __init__(
        self,
        student: Checkpoint,
        teacher: Checkpoint,
        data: LatentGroups,
        trajectories: Trajectories,
        config: DistillConfig,
    ) -> None:
        self.module = Denoiser(student.unet, student.conditioner)
        self._swap, self._config, self._data = student.swap, config, data
        self._trajectories = trajectories
        self._triplets = trajectory_triplets(data, config)
        self._identity = LatentIdentityLoss(teacher.conditioner)
        self._dtype = next(student.unet.parameters()).dtype
        alphas = student.scheduler.alphas_cumprod.float()
        self._signal, self._noise = alphas.sqrt(), (1.0 - alphas).clamp(min=0.0).sqrt()
        self._fixed = torch.arange(min(256, config.targets))

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(self._dtype).contiguous(memory_format=torch.channels_last)

    def _predict_clean(self, pick: Tensor, level: Tensor) -> tuple[Tensor, Tensor, TripletDraw]:
        """Clean samples predicted at a level of the chosen trajectories, and their targets."""
        i, data, every = pick.numpy(), self._data, self._triplets
        t = TripletDraw(
            every.group[i], every.target[i], every.truth[i], every.source[i], every.identity[i]
        )
        target = data.latents[t.group, t.target].float()
        source = data.latents[t.group, t.source]
        state = self._trajectories.states[pick, level]
        steps = self._trajectories.timesteps[level]
        condition = self.module.conditioner.condition(self._cast(source))
        output = predict(
            self.module.unet, self._swap, self._cast(state), steps, self._cast(target), condition
        ).float()
        a, s = (x[steps].view(-1, 1, 1, 1) for x in (self._signal, self._noise))
        return a * state - s * output, target, t

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch of random trajectories at random levels."""
        config, data = self._config, self._data
        pick = torch.from_numpy(draw.rng.integers(config.targets, size=batch_size))
        level = torch.from_numpy(draw.rng.integers(config.steps, size=batch_size))
        clean, target, t = self._predict_clean(pick, level)
        truth = data.latents[t.group, t.truth].float()
        weights = mask_weights(data, t, config.mask_weight)
        to_teacher = ((clean - self._trajectories.results[pick]).square() * weights).mean()
        wanted = latents_to_sample(self._swap, truth, target)
        to_truth = ((clean - wanted).square() * weights).mean()
        loss = (1.0 - config.truth_weight) * to_teacher + config.truth_weight * to_truth
        parts = {"to_teacher": float(to_teacher.detach()), "to_truth": float(to_truth.detach())}
        if config.identity_weight > 0:
            identity = self._identity(sample_to_latents(self._swap, clean, target), truth)
            loss = loss + config.identity_weight * identity
            parts["identity_loss"] = float(identity.detach())
        return loss, parts

    def evaluate(self) -> dict[str, float]:
        """Mean square distance to teacher and truth on a fixed part of the trajectories."""
        sums: dict[str, Any] = {"fixed_to_teacher": 0.0, "fixed_to_truth": 0.0}
        for pick in torch.split(self._fixed, 64):
            clean, target, t = self._predict_clean(pick, torch.zeros_like(pick))
            truth = self._data.latents[t.group, t.truth].float()
            wanted = latents_to_sample(self._swap, truth, target)
            share = len(pick) / len(self._fixed)
            to_teacher = (clean - self._trajectories.results[pick]).square().mean()
            sums["fixed_to_teacher"] += share * float(to_teacher)
            sums["fixed_to_truth"] += share * float((clean - wanted).square().mean())
        return sums
