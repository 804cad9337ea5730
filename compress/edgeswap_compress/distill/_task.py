"""What all distillation methods share: batches, evaluations, loss terms and figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.denoiser import SwapDenoiser
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import (
    decode_latents,
    latents_to_sample,
    sample_to_latents,
)
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.conditioning.source import SourceConditioner
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.fit.features import FeatureMatch, block_outputs
from edgeswap_compress.fit.latent_cache import LatentGroups, TripletDraw, draw_triplets
from edgeswap_compress.fit.loop import Draw, Progress
from edgeswap_compress.fit.losses import (
    LatentIdentityLoss,
    decoder_metric,
    fine_energy_loss,
    mask_weights,
    triplet_mask,
)
from edgeswap_compress.fit.noise_levels import NoiseLevels, sample, timesteps_of
from edgeswap_compress.fit.placement import device_of
from edgeswap_compress.train.autoencoder import reconstruction_figures
from edgeswap_compress.train.denoiser import Denoiser

FIXED_PAIRS = 32
"""Triplets that the figures are measured on, each from two noises."""

METRIC_PICTURES = 16
"""Pictures whose decoding tells what errors cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillInputs:
    """What a distillation method learns from.

    Attributes:
        student: learns; its modules end with the result.
        teacher: frozen.
        data: latents to draw from, encoded by the teacher's autoencoder.
        held_out: latents for the figures; may be ``data`` again.
        own, own_held_out: the same pictures, encoded by the student's autoencoder; the same objects
            where the student has the teacher's.
        judge: encoder of the identity loss.
    """

    student: Checkpoint
    teacher: Checkpoint
    data: LatentGroups
    held_out: LatentGroups
    own: LatentGroups
    own_held_out: LatentGroups
    judge: SourceConditioner
    config: DistillConfig


@dataclass(frozen=True, slots=True)
class TripletBatch:
    """Triplets of one draw.

    A student with a small autoencoder sees other latents of the target than its teacher, and so
    must add another residual to them. Samples are the student's throughout; ``offset`` is what the
    same swap's sample is more for the student than for the teacher.

    Attributes:
        triplets: their positions in ``data``.
        target, source: (N, C, S, S) float32 latents of the student's encoder.
        teacher_target, teacher_source: of the teacher's.
        truth: (N, C, S, S) float32, the exact clean sample: it leads to the teacher's latents.
        offset: (N, C, S, S) float32; 0 where the autoencoders are one.
        weights: (N, 1, S, S) of the loss, mean 1.
        mask: (N, 1, S, S) in [0, 1], the faces of target and truth.
    """

    triplets: TripletDraw
    target: Tensor
    source: Tensor
    teacher_target: Tensor
    teacher_source: Tensor
    truth: Tensor
    offset: Tensor
    weights: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.target)


class Student:
    """Student and teacher: what both predict, the losses of that, and the figures."""

    def __init__(self, inputs: DistillInputs) -> None:
        student, self._teacher = inputs.student, inputs.teacher
        for module in (self._teacher.unet, self._teacher.conditioner, self._teacher.vae):
            module.requires_grad_(False)
        student.vae.requires_grad_(False)
        self.module = Denoiser(student.unet, student.conditioner)
        self._config, self._swap = inputs.config, inputs.student.swap
        self._data = (inputs.data, inputs.own)
        self._held_out = (inputs.held_out, inputs.own_held_out)
        self._vae = student.vae
        self.levels = NoiseLevels(inputs.student.scheduler)
        self._device = device_of(student.unet)
        self.timesteps = timesteps_of(inputs.student.scheduler, inputs.config.steps).to(
            self._device
        )
        self._identity = LatentIdentityLoss(inputs.judge)
        self._dtype = next(student.unet.parameters()).dtype
        scale = inputs.config.teacher.guidance
        self._scale = self._teacher.swap.guidance_scale if scale is None else scale
        self._teacher_steps = inputs.config.teacher_steps
        self._fixed: tuple[TripletBatch, Tensor, Tensor] | None = None
        self._metric = self._measure()
        if inputs.config.losses.feature_weight > 0:
            self.module.add_module("features", FeatureMatch(self._widths()).to(self._device))

    @property
    def swap_config(self) -> SwapConfig:
        """Give the student's settings."""
        return self._swap

    def batch(
        self, triplets: TripletDraw, data: tuple[LatentGroups, LatentGroups] | None = None
    ) -> TripletBatch:
        """Read the latents of triplets of the training data, or of other data."""
        known, own = data or self._data
        t, swap = triplets, self._swap
        target, truth, source = (
            known.read(t.group, place, self._device) for place in (t.target, t.truth, t.source)
        )
        mine = [own.read(t.group, place, self._device) for place in (t.target, t.source)]
        clean = latents_to_sample(swap, truth, mine[0])
        return TripletBatch(
            triplets=t,
            target=mine[0],
            source=mine[1],
            teacher_target=target,
            teacher_source=source,
            truth=clean,
            offset=clean - latents_to_sample(swap, truth, target),
            weights=mask_weights(known, t, self._config.losses.mask_weight, self._device),
            mask=triplet_mask(known, t, self._device),
        )

    def draw(self, draw: Draw, n: int) -> TripletBatch:
        """Draw triplets of the training data."""
        known = self._data[0]
        return self.batch(draw_triplets(draw.rng, len(known), known.identities, n))

    def cast(self, x: Tensor) -> Tensor:
        """Convert to the modules' dtype and memory order."""
        return x.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)

    def student_velocity(self, batch: TripletBatch, x: Tensor, steps: Tensor) -> Tensor:
        """Evaluate the student once at timesteps (N,): (N, C, S, S) float32."""
        condition = self.module.conditioner.condition(self.cast(batch.source))
        denoiser = SwapDenoiser(self.module.unet, self._swap)
        seen = TargetMaps(self.cast(batch.target))
        return denoiser.predict(self.cast(x), steps, seen, condition).float()

    def of_teacher(self, batch: TripletBatch, x: Tensor, steps: Tensor) -> Tensor:
        """Convert noisy samples of the student to the teacher's: a_t x offset less."""
        signal, _ = self.levels.at(steps)
        return x - signal * batch.offset

    def of_student(self, batch: TripletBatch, velocity: Tensor, steps: Tensor) -> Tensor:
        """Convert a velocity of the teacher to the student's: s_t x offset less.

        v = (a_t x_t - x_0) / s_t, and x_t has a_t x offset more, x_0 has offset more.
        """
        _, noise = self.levels.at(steps)
        return velocity - noise * batch.offset

    @torch.no_grad()
    def teacher_velocity(self, batch: TripletBatch, x: Tensor, steps: Tensor) -> Tensor:
        """Evaluate the guided teacher at timesteps (N,): (N, C, S, S) float32."""
        teacher = self._teacher
        condition = teacher.conditioner.condition(self.cast(batch.teacher_source))
        output = teacher.denoiser().guided(
            self.cast(self.of_teacher(batch, x, steps)),
            steps,
            TargetMaps(self.cast(batch.teacher_target)),
            condition,
            teacher.conditioner.null(len(batch)),
            self._scale,
        )
        return self.of_student(batch, output.float(), steps)

    def teacher_blocks(self, batch: TripletBatch, x: Tensor, steps: Tensor) -> list[Tensor]:
        """Collect the teacher's block outputs at x, unguided; gradients reach x."""
        teacher = self._teacher
        with torch.no_grad():
            condition = teacher.conditioner.condition(self.cast(batch.teacher_source))
        noisy, target = self.of_teacher(batch, x, steps), TargetMaps(batch.teacher_target)
        with block_outputs(teacher.unet) as seen:
            teacher.denoiser().predict(self.cast(noisy), steps, target.each(self.cast), condition)
        return seen

    def student_clean(
        self, batch: TripletBatch, x: Tensor, steps: Tensor, parts: dict[str, float]
    ) -> tuple[Tensor, Tensor]:
        """Predict clean samples, and measure the features' distance to the teacher's."""
        weight = self._config.losses.feature_weight
        if weight == 0:
            velocity = self.student_velocity(batch, x, steps)
            return self.levels.clean(x, velocity, steps), x.new_zeros(())
        with torch.no_grad():
            wanted = self.teacher_blocks(batch, x, steps)
        with block_outputs(self.module.unet) as own:
            velocity = self.student_velocity(batch, x, steps)
        match = self.module.get_submodule("features")
        distance = match(own, wanted)
        parts["features"] = float(distance.detach())
        return self.levels.clean(x, velocity, steps), weight * distance

    @torch.no_grad()
    def _measure(self) -> Tensor:
        """Measure what errors of the sample cost (C, C), a share of it as decoded."""
        share = self._config.losses.metric_share
        plain = torch.eye(self._swap.latent_channels, device=self._device)
        if share == 0:
            return plain
        batch = self.draw(Draw.of(self._config.fit.seed, 2**29), METRIC_PICTURES)
        return (1.0 - share) * plain + share * decoder_metric(
            self._vae, self._swap, batch.target, batch.mask
        )

    def distance(self, found: Tensor, wanted: Tensor, batch: TripletBatch) -> Tensor:
        """Measure the mean square distance, weighted towards the inner face."""
        return ((found - wanted).square() * batch.weights).mean()

    def regression(self, clean: Tensor, wanted: Tensor, batch: TripletBatch) -> Tensor:
        """Measure the distance of clean samples, a share of it as in pixels."""
        error = clean - wanted
        paid = error * torch.einsum("cd,ndhw->nchw", self._metric, error)
        return (paid * batch.weights).mean()

    def look(
        self,
        clean: Tensor,
        batch: TripletBatch,
        draw: Draw,
        parts: dict[str, float],
        prefix: str = "",
    ) -> Tensor:
        """Compute the identity and fine-energy terms of clean samples, against the truth's."""
        config, total = self._config, clean.new_zeros(())
        swapped, exact = (
            sample_to_latents(self._swap, x, batch.target) for x in (clean, batch.truth)
        )
        if config.losses.identity.weight > 0:
            spoil = config.losses.identity.noise * draw.shares(exact) * draw.normal(exact)
            identity = self._identity(swapped, exact, noise=spoil)
            parts[f"{prefix}identity"] = float(identity.detach())
            total = total + config.losses.identity.weight * identity
        if config.losses.fine_weight > 0:
            fine = self._fine(swapped, exact, batch)
            parts[f"{prefix}fine"] = float(fine.detach())
            total = total + config.losses.fine_weight * fine
        return total

    def joined(
        self, own: Tensor, clean: Tensor, batch: TripletBatch, draw: Draw, parts: dict[str, float]
    ) -> Tensor:
        """Mix a method's own loss with the truth's, and add the terms of ``look``."""
        weight = self._config.losses.truth_weight
        total = (1.0 - weight) * own
        if weight > 0:
            truth = self.regression(clean, batch.truth, batch)
            parts["to_truth"] = float(truth.detach())
            total = total + weight * truth
        return total + self.look(clean, batch, draw, parts)

    def _fine(self, swapped: Tensor, exact: Tensor, batch: TripletBatch) -> Tensor:
        """Compute ``fine_energy_loss`` of a part of the batch, because decoding is expensive."""
        n = min(len(batch), self._config.losses.fine_samples)
        with torch.no_grad():
            wanted = self.decode(exact[:n])
        output = self.decode(swapped[:n])
        weight = F.interpolate(batch.weights[:n], size=output.shape[2:], mode="bilinear")
        return fine_energy_loss(output, wanted, weight)

    def decode(self, latents: Tensor) -> Tensor:
        """Decode by the student's decoder: crops (N, 3, R, R) in [-1, 1], float32."""
        return decode_latents(self._vae, self._swap, self.cast(latents)).float()

    @torch.no_grad()
    def _widths(self) -> list[tuple[int, int]]:
        """Count the channels of each block's output, student's and teacher's."""
        batch = self.draw(Draw.of(0, 0), 1)
        steps, found = torch.tensor([self.levels.terminal], device=self._device), []
        inputs = (self.cast(batch.truth), steps, TargetMaps(self.cast(batch.teacher_target)))
        for model in (self.module, self._teacher):
            with block_outputs(model.unet) as seen:
                condition = model.conditioner.condition(self.cast(batch.teacher_source))
                SwapDenoiser(model.unet, self._swap).predict(*inputs, condition)
            found.append([output.shape[1] for output in seen])
        return list(zip(*found, strict=True))

    @torch.no_grad()
    def fixed(self, progress: Progress | None = None) -> tuple[TripletBatch, Tensor, Tensor]:
        """Give fixed triplets, two noises for each of them, and where those lead the teacher."""
        if self._fixed is None:
            data, draw = self._held_out[0], Draw.of(self._config.fit.seed, 2**30)
            t = draw_triplets(draw.rng, len(data), data.identities, FIXED_PAIRS)
            batch = self.batch(t, self._held_out)
            noise = torch.stack([draw.normal(batch.truth), draw.normal(batch.truth)])
            steps = timesteps_of(self._teacher.scheduler, self._teacher_steps)
            total, done = len(noise) * len(steps), 0

            def velocity(x: Tensor, at: Tensor) -> Tensor:
                nonlocal done
                found = self.teacher_velocity(batch, x, at)
                done += 1
                if progress is not None:
                    progress(done, total, "sampling the teacher for the figures")
                return found

            led = [sample(self.levels, velocity, start, steps) for start in noise]
            self._fixed = batch, noise, torch.stack(led)
        return self._fixed

    @torch.no_grad()
    def swap_fixed(self) -> Tensor:
        """Sample the fixed triplets by the student: (2, F, C, S, S)."""
        batch, noise, _ = self.fixed()
        led = [
            sample(
                self.levels, lambda x, t: self.student_velocity(batch, x, t), start, self.timesteps
            )
            for start in noise
        ]
        return torch.stack(led)

    def evaluate(self) -> dict[str, float]:
        """Sample the fixed triplets: measure distances to teacher and truth, and diversity.

        ``fixed_diversity`` is the deviation from noise to noise inside the faces, over the
        teacher's; near 0 every noise leads to the same swap. ``fixed_hf_ratio`` is the energy of
        the finest scale inside the faces over the truth's, both decoded by the student's decoder.
        """
        batch, _, wanted = self.fixed()
        found = self.swap_fixed()

        def apart(a: Tensor, b: Tensor) -> float:
            return float(((a - b).square() * batch.weights).mean())

        crops, exact = (
            self.decode(sample_to_latents(self._swap, x, batch.target))
            for x in (found[0], batch.truth)
        )
        figures = reconstruction_figures(crops, exact, F.interpolate(batch.mask, crops.shape[2:]))
        return {
            "fixed_to_teacher": apart(found, wanted),
            "fixed_to_truth": apart(found, batch.truth),
            "fixed_teacher_to_truth": apart(wanted, batch.truth),
            "fixed_psnr_db": figures["psnr_face_db"],
            "fixed_hf_ratio": figures["hf_ratio"],
            "fixed_diversity": (apart(*found) / max(apart(*wanted), 1e-12)) ** 0.5,
        }


class StudentTask(Student, ABC):
    """Base of the objectives: subclasses give ``loss``."""

    @abstractmethod
    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Loss of one batch and its terms; ``done`` is the share of the fitting behind us."""
