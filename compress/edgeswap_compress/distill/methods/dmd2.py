"""Distribution matching with a critic and a discriminator."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from edgeswap_compress.distill._discriminators import Discriminator, frozen, hinge, verdict
from edgeswap_compress.distill._task import StudentTask
from edgeswap_compress.distill.material.triplets import TripletBatch
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.fit.loop import Draw


class Dmd2Objective(StudentTask):
    """DMD2 (2405.14867): the student's swaps are moved to where the teacher finds them likelier.

    The direction is the difference of two denoised versions of a noised swap: the guided teacher's,
    who knows real swaps, and a critic's, who learns the student's own (2311.18828, eq. 7 and 8).
    The critic takes ``critic_updates`` steps for one of the student (DMD2, section 4.2). A student
    of several steps is trained on states that its own earlier steps lead to (section 4.4). The
    discriminator's real pictures are exact truths (section 4.3).

    Printed beside the losses: ``critic_drift``, the critic's loss on fresh swaps over the teacher's
    on the same, which stays below 1 while the critic keeps up with the student; ``verdict_gap``, by
    how much truths look more real than swaps; and, with the figures, the diversity.
    """

    def __init__(self, inputs: DistillInputs) -> None:
        super().__init__(inputs)
        critic = copy.deepcopy(inputs.teacher.unet).requires_grad_(True).train()
        self.module.add_module("critic", critic)
        self._critic = critic
        self._discriminator: Discriminator | None = None
        if inputs.config.dmd2.adversarial_weight > 0:
            widths = [theirs for _, theirs in self._widths()]
            judge = Discriminator(widths, seed=inputs.config.fit.seed)
            self._discriminator = judge.to(self._device)
            self.module.add_module("discriminator", self._discriminator)

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of critic, discriminator and, in its turn, student."""
        batch, parts = self.draw(draw, batch_size), dict[str, float]()
        turn = draw.step % self._config.dmd2.critic_updates == 0
        x, steps = self._state(batch, draw)
        with torch.set_grad_enabled(turn):
            clean, features = self.student_clean(batch, x, steps, parts if turn else {})
        total = self._critic_loss(batch, clean.detach(), draw, parts)
        total = total + self._discriminator_loss(batch, clean.detach(), draw, parts)
        if turn:
            own = self._matching_loss(batch, clean, draw, parts)
            total = total + self.joined(own, clean, batch, draw, parts) + features
        return total, parts

    @torch.no_grad()
    def _state(self, batch: TripletBatch, draw: Draw) -> tuple[Tensor, Tensor]:
        """Sample where the student is at one of its own steps, and that timestep."""
        noise, last = draw.normal(batch.truth), int(draw.rng.integers(len(self.timesteps)))
        x = self.sampler.first(batch.target, noise)
        here = [step.expand(len(batch)) for step in self.timesteps[: last + 1]]
        for now, after in pairwise(here):
            x = self.levels.step(x, self.student_velocity(batch, x, now), now, after)
            x = self.sampler.blended(x, batch.target, noise, after)
        return x, here[-1]

    def _noised(self, clean: Tensor, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """Noise samples at random levels, 2 to 98 % (DMD); give the noise and timesteps too."""
        top = self.levels.terminal
        steps = draw.rng.integers(top // 50, top - top // 50, size=len(clean))
        noise, at = draw.normal(clean), torch.from_numpy(steps).to(clean.device)
        return self.levels.add(clean, noise, at), noise, at

    def _critic_velocity(self, batch: TripletBatch, x: Tensor, steps: Tensor) -> Tensor:
        noisy = self.of_teacher(batch, x, steps)
        denoiser = replace(self._teacher.denoiser(), unet=self._critic)
        output = denoiser.predict(self.cast(noisy), steps, *self._teacher_seen(batch))
        velocity = self._teacher_levels.as_velocity(output.float(), noisy, steps)
        return self.of_student(batch, velocity, steps)

    def _critic_loss(
        self, batch: TripletBatch, clean: Tensor, draw: Draw, parts: dict[str, float]
    ) -> Tensor:
        x, noise, steps = self._noised(clean, draw)
        wanted = self.levels.velocity(clean, noise, steps)
        loss = self.distance(self._critic_velocity(batch, x, steps), wanted, batch)
        parts["critic"] = float(loss.detach())
        if draw.step % self._config.dmd2.critic_updates == 0:
            theirs = self.distance(self.teacher_velocity(batch, x, steps), wanted, batch)
            parts["critic_drift"] = parts["critic"] / max(float(theirs), 1e-9)
        return loss

    def _matching_loss(
        self, batch: TripletBatch, clean: Tensor, draw: Draw, parts: dict[str, float]
    ) -> Tensor:
        with torch.no_grad():
            x, _, steps = self._noised(clean, draw)
            real = self.levels.clean(x, self.teacher_velocity(batch, x, steps), steps)
            fake = self.levels.clean(x, self._critic_velocity(batch, x, steps), steps)
            size = (clean - real).abs().mean((1, 2, 3), keepdim=True) + 1e-6
            wanted = clean - (fake - real) / size
            parts["matching"] = float(((fake - real) / size).abs().mean())
        loss = 0.5 * self.distance(clean, wanted, batch)
        if self._discriminator is not None:
            with frozen(self._discriminator):
                real_looking = verdict(self._verdicts(batch, *self._noised(clean, draw)))
            parts["adversarial"] = -float(real_looking.detach())
            loss = loss - self._config.dmd2.adversarial_weight * real_looking
        return loss

    def _discriminator_loss(
        self, batch: TripletBatch, clean: Tensor, draw: Draw, parts: dict[str, float]
    ) -> Tensor:
        if self._discriminator is None:
            return clean.new_zeros(())
        fake = self._verdicts(batch, *self._noised(clean, draw))
        real = self._verdicts(batch, *self._noised(batch.truth, draw))
        loss = hinge(real, fake)
        parts["discriminator"] = float(loss.detach())
        parts["verdict_gap"] = float((verdict(real) - verdict(fake)).detach())
        return loss

    def _verdicts(
        self, batch: TripletBatch, x: Tensor, noise: Tensor, steps: Tensor
    ) -> list[Tensor]:
        """Judge noised samples by the heads; gradients reach ``x``."""
        assert self._discriminator is not None  # noqa: S101 our callers look first
        with torch.set_grad_enabled(x.requires_grad):
            seen = self.teacher_blocks(batch, x, steps)
        found: list[Tensor] = self._discriminator(seen)
        return found
