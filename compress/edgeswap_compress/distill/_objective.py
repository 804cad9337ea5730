"""Regression of a few-step student to the teacher's trajectories and to the exact truth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgeswap_compress._checkpoint import Checkpoint
from edgeswap_compress._latents import latents_to_sample, predict, sample_to_latents
from edgeswap_compress.distill._config import DistillConfig
from edgeswap_compress.distill._trajectories import Trajectories, trajectory_triplets
from edgeswap_compress.train._cache import LatentGroups, TripletDraw, draw_triplets
from edgeswap_compress.train._denoiser import Denoiser
from edgeswap_compress.train._loop import Draw
from edgeswap_compress.train._losses import LatentIdentityLoss, mask_weights


class TrajectoryObjective:
    """From x_t on the teacher's trajectory, predict where the trajectory ends (2101.02388).

    Asked at ``steps`` timesteps, so that a student of several steps is trained at each of them.
    Trajectories are few, because each costs the teacher many evaluations; exact truths are many.
    So where truths are wanted, half of every batch is fresh triplets, whose truth is noised to the
    student's timesteps (q(x_t | x_0), 2006.11239, eq. 4) and asked back. The student can then
    become better than what it learns from.
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

    def _levels(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        a, s = (x[steps].view(-1, 1, 1, 1) for x in (self._signal, self._noise))
        return a, s

    def _latents(self, t: TripletDraw) -> tuple[Tensor, Tensor]:
        """Target latents and the clean sample of the truth."""
        target = self._data.latents[t.group, t.target].float()
        truth = self._data.latents[t.group, t.truth].float()
        return target, latents_to_sample(self._swap, truth, target)

    def _predict_clean(
        self, t: TripletDraw, target: Tensor, state: Tensor, steps: Tensor
    ) -> Tensor:
        source = self._data.latents[t.group, t.source]
        condition = self.module.conditioner.condition(self._cast(source))
        output = predict(
            self.module.unet, self._swap, self._cast(state), steps, self._cast(target), condition
        ).float()
        a, s = self._levels(steps)
        return a * state - s * output

    def _on_trajectories(self, pick: Tensor, level: Tensor) -> tuple[Tensor, Tensor, TripletDraw]:
        """Predicted and wanted clean samples on the chosen trajectories."""
        t = take(self._triplets, pick)
        target, _ = self._latents(t)
        state, steps = self._trajectories.states[pick, level], self._trajectories.timesteps[level]
        clean = self._predict_clean(t, target, state, steps)
        return clean, self._trajectories.results[pick], t

    def _on_truths(self, draw: Draw, level: Tensor) -> tuple[Tensor, Tensor, TripletDraw]:
        """Predicted and wanted clean samples of fresh triplets."""
        t = draw_triplets(draw.rng, len(self._data), self._data.identities, len(level))
        target, truth = self._latents(t)
        steps = self._trajectories.timesteps[level]
        a, s = self._levels(steps)
        clean = self._predict_clean(t, target, a * truth + s * draw.normal(truth), steps)
        return clean, truth, t

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Loss of random trajectories and, unless ``truth_weight`` is 0, as many fresh truths."""
        config, weight = self._config, self._config.truth_weight
        level = torch.from_numpy(draw.rng.integers(config.steps, size=batch_size))
        half = batch_size if weight == 0.0 else batch_size // 2
        pick = torch.from_numpy(draw.rng.integers(config.targets, size=half))
        batches = {"to_teacher": (1.0 - weight, self._on_trajectories(pick, level[:half]))}
        if weight > 0.0:
            batches["to_truth"] = (weight, self._on_truths(draw, level[half:]))
        total, parts = torch.zeros(()), {}
        for name, (share, (clean, wanted, t)) in batches.items():
            weights = mask_weights(self._data, t, config.mask_weight)
            loss = ((clean - wanted).square() * weights).mean()
            parts[name] = float(loss.detach())
            if config.identity_weight > 0:
                target, truth = self._latents(t)
                swapped, exact = (sample_to_latents(self._swap, x, target) for x in (clean, truth))
                identity = self._identity(swapped, exact)
                parts[f"{name}_identity"] = float(identity.detach())
                loss = loss + config.identity_weight * identity
            total = total + share * loss
        return total, parts

    def evaluate(self) -> dict[str, float]:
        """Mean square distance to teacher and truth on a fixed part of the trajectories."""
        sums: dict[str, Any] = {"fixed_to_teacher": 0.0, "fixed_to_truth": 0.0}
        for pick in torch.split(self._fixed, 64):
            clean, result, t = self._on_trajectories(pick, torch.zeros_like(pick))
            share = len(pick) / len(self._fixed)
            truth = self._latents(t)[1]
            sums["fixed_to_teacher"] += share * float((clean - result).square().mean())
            sums["fixed_to_truth"] += share * float((clean - truth).square().mean())
        return sums


def take(t: TripletDraw, pick: Tensor) -> TripletDraw:
    """Some of the triplets, in the order of ``pick`` (N,)."""
    i = pick.numpy()
    return TripletDraw(t.group[i], t.target[i], t.truth[i], t.source[i], t.identity[i])
