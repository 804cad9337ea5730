"""What all distillation methods share: batches, evaluations, loss terms and figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace

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
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.distill._judge import OnnxJudge
from edgeswap_compress.distill._resting import RestingModels
from edgeswap_compress.distill.material.triplets import TripletBatch
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.fit.features import FeatureMatch, block_outputs
from edgeswap_compress.fit.loop import Draw, Progress
from edgeswap_compress.fit.losses import (
    LatentIdentityLoss,
    decoder_metric,
    face_weights,
    fine_energy_loss,
)
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.material.pairs import Drawn, PairSet
from edgeswap_compress.fit.material.sight import Sight
from edgeswap_compress.fit.noise_levels import NoiseLevels, timesteps_of
from edgeswap_compress.fit.sampling import LatentSampler
from edgeswap_compress.train.autoencoder import reconstruction_figures
from edgeswap_compress.train.denoiser import Denoiser

LEARNS = ("unet", "conditioner")
"""Modules of a student that learn."""

FIXED_PAIRS = 32
"""Triplets that the figures are measured on, each from two noises."""

METRIC_PICTURES = 16
"""Pictures whose decoding tells what errors cost."""


class Student:
    """Student and teacher: what both predict, the losses of that, and the figures."""

    def __init__(self, inputs: DistillInputs) -> None:
        student, self._teacher = inputs.student, inputs.teacher
        for module in self._teacher.modules().values():
            module.requires_grad_(False)
        for name, module in student.modules().items():
            if name not in LEARNS:
                module.requires_grad_(False)
        self.module = Denoiser(student.unet, student.conditioner)
        self._config, self._swap = inputs.config, inputs.student.swap
        self._pairs, self._held_out = inputs.pairs, inputs.held_out
        self._sight, self._teacher_sight = Sight(student), Sight(self._teacher)
        self._controlnet = student.controlnet
        self._vae = student.vae
        self.levels = NoiseLevels(inputs.student.scheduler)
        self._teacher_levels = NoiseLevels(self._teacher.scheduler)
        self._device = device_of(student.unet)
        self.sampler = self._sampler(inputs.student, inputs.config.steps)
        self._identity = None if inputs.judge is None else LatentIdentityLoss(inputs.judge)
        self._dtype = next(student.unet.parameters()).dtype
        scale = inputs.config.teacher.guidance
        self._scale = self._teacher.swap.guidance_scale if scale is None else scale
        self._teacher_steps = inputs.config.teacher_steps
        self._fixed: tuple[TripletBatch, Tensor, Tensor] | None = None
        self.rests = RestingModels(student, self._teacher, inputs.config)
        self._judge = None
        if inputs.recognizer is not None:
            self._judge = OnnxJudge(inputs.recognizer, self._swap)
        self._metric = self._measure()
        if inputs.config.losses.feature_weight > 0:
            self.module.add_module("features", FeatureMatch(self._widths()).to(self._device))
        self.rests.begin()

    @property
    def swap_config(self) -> SwapConfig:
        """Give the student's settings."""
        return self._swap

    @property
    def timesteps(self) -> Tensor:
        """Give the timesteps that the student is asked at, descending."""
        return self.sampler.timesteps

    def _sampler(self, model: Checkpoint, steps: int) -> LatentSampler:
        """Make the sampler of a schedule, which begins where the finished student's does.

        Args:
            model: student or teacher.
            steps: of its whole schedule, a multiple of the student's.
        """
        config = self._config
        kept = self._swap.sampling.start.kept(config.steps) * (steps // config.steps)
        visited = timesteps_of(model.scheduler, steps, kept=kept).to(self._device)
        return LatentSampler.of(self._swap, self.levels, visited)

    def batch(self, drawn: Drawn, pairs: PairSet | None = None) -> TripletBatch:
        """Read the latents of pairs of the training data, or of other data."""
        pairs, swap, places = pairs or self._pairs, self._swap, drawn.places
        target, source = (pairs.known.at(x, self._device) for x in (places.target, places.source))
        mine = [pairs.own.at(x, self._device) for x in (places.target, places.source)]
        truth = pairs.truths(drawn, self._device)
        clean = latents_to_sample(swap, truth, mine[0])
        mask = pairs.masks(places, self._device)
        weights = face_weights(mask, self._config.losses.mask_weight)
        return TripletBatch(
            drawn=drawn,
            features=pairs.features,
            own_features=pairs.own_features,
            target=mine[0],
            source=mine[1],
            teacher_target=target,
            teacher_source=source,
            truth=clean,
            offset=clean - latents_to_sample(swap, truth, target),
            weights=weights / weights.mean(),
            mask=mask,
        )

    def draw(self, draw: Draw, n: int, *, exact: bool = False) -> TripletBatch:
        """Draw pairs of the training data; with ``exact`` those whose truth is a picture."""
        take = self._pairs.exact if exact else self._pairs.draw
        return self.batch(take(draw.rng, n))

    def cast(self, x: Tensor) -> Tensor:
        """Convert to the modules' dtype and memory order."""
        return x.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)

    def student_velocity(self, batch: TripletBatch, x: Tensor, steps: Tensor) -> Tensor:
        """Evaluate the student once at timesteps (N,): (N, C, S, S) float32."""
        denoiser = SwapDenoiser(self.module.unet, self._swap, self._controlnet)
        output = denoiser.predict(self.cast(x), steps, *self._seen(batch))
        return self.levels.as_velocity(output.float(), x, steps)

    def _seen(self, batch: TripletBatch) -> tuple[TargetMaps, Condition]:
        """Give what the student sees of a batch."""
        places, features = batch.drawn.places, batch.own_features
        maps = self._sight.maps(self.cast(batch.target), places, features)
        return maps, self._sight.condition(self.cast(batch.source), places, features)

    def _teacher_seen(self, batch: TripletBatch) -> tuple[TargetMaps, Condition]:
        """Give what the teacher sees of a batch."""
        places, features = batch.drawn.places, batch.features
        maps = self._teacher_sight.maps(self.cast(batch.teacher_target), places, features)
        with torch.no_grad():
            condition = self._teacher_sight.condition(
                self.cast(batch.teacher_source), places, features
            )
        return maps, condition

    def noised(self, batch: TripletBatch, noise: Tensor, steps: Tensor) -> Tensor:
        """Noise the truths to timesteps (N,), see `LatentSampler.noised`."""
        return self.sampler.noised(batch.truth, batch.target, noise, steps)

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
        theirs, null = self.of_teacher(batch, x, steps), self._teacher_sight.null(len(batch))
        output = self._teacher.denoiser().guided(
            self.cast(theirs), steps, *self._teacher_seen(batch), null, self._scale
        )
        velocity = self._teacher_levels.as_velocity(output.float(), theirs, steps)
        return self.of_student(batch, velocity, steps)

    def teacher_blocks(self, batch: TripletBatch, x: Tensor, steps: Tensor) -> list[Tensor]:
        """Collect the teacher's block outputs at x, unguided; gradients reach x."""
        noisy = self.cast(self.of_teacher(batch, x, steps))
        with block_outputs(self._teacher.unet) as seen:
            self._teacher.denoiser().predict(noisy, steps, *self._teacher_seen(batch))
        return seen

    def student_clean(
        self, batch: TripletBatch, x: Tensor, steps: Tensor, parts: dict[str, float]
    ) -> tuple[Tensor, Tensor]:
        """Predict clean samples, and measure the features' distance to the teacher's.

        Where a sampler blends, what the mask keeps is the target's, and nothing is learned there.
        """
        weight = self._config.losses.feature_weight
        if weight == 0:
            velocity = self.student_velocity(batch, x, steps)
            return self._ended(batch, x, velocity, steps), x.new_zeros(())
        with torch.no_grad():
            wanted = self.teacher_blocks(batch, x, steps)
        with block_outputs(self.module.unet) as own:
            velocity = self.student_velocity(batch, x, steps)
        match = self.module.get_submodule("features")
        distance = match(own, wanted)
        parts["features"] = float(distance.detach())
        return self._ended(batch, x, velocity, steps), weight * distance

    def _ended(self, batch: TripletBatch, x: Tensor, velocity: Tensor, steps: Tensor) -> Tensor:
        return self.sampler.ended(self.levels.clean(x, velocity, steps), batch.target)

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
        if config.losses.identity.weight > 0 and self._identity is not None:
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
        with self.rests.autoencoder():
            return decode_latents(self._vae, self._swap, self.cast(latents)).float()

    @torch.no_grad()
    def _widths(self) -> list[tuple[int, int]]:
        """Count the channels of each block's output, student's and teacher's."""
        batch = self.draw(Draw.of(0, 0), 1)
        steps = torch.tensor([self.levels.terminal], device=self._device)
        with block_outputs(self.module.unet) as own:
            self.student_velocity(batch, batch.truth, steps)
        theirs = self.teacher_blocks(batch, batch.truth, steps)
        return [(a.shape[1], b.shape[1]) for a, b in zip(own, theirs, strict=True)]

    @torch.no_grad()
    def fixed(self, progress: Progress | None = None) -> tuple[TripletBatch, Tensor, Tensor]:
        """Give fixed triplets, two noises for each of them, and where those lead the teacher."""
        if self._fixed is None:
            draw = Draw.of(self._config.fit.seed, 2**30)
            batch = self.batch(self._held_out.unanswered(draw.rng, FIXED_PAIRS), self._held_out)
            noise = torch.stack([draw.normal(batch.truth), draw.normal(batch.truth)])
            sampler = self._sampler(self._teacher, self._teacher_steps)
            total, done = len(noise) * len(sampler.timesteps), 0

            def velocity(x: Tensor, at: Tensor) -> Tensor:
                nonlocal done
                found = self.teacher_velocity(batch, x, at)
                done += 1
                if progress is not None:
                    progress(done, total, "sampling the teacher for the figures")
                return found

            with self.rests.teacher():
                led = [sampler.sample(velocity, batch.target, start) for start in noise]
            if not self._held_out.has_truths:  # the teacher's answer is the truth there is
                batch = replace(batch, truth=led[0])
            self._fixed = batch, noise, torch.stack(led)
        return self._fixed

    @torch.no_grad()
    def swap(self, batch: TripletBatch, noise: Tensor) -> Tensor:
        """Sample pairs by the student, from noise (N, C, S, S): (N, C, S, S)."""
        return self.sampler.sample(
            lambda x, t: self.student_velocity(batch, x, t), batch.target, noise
        )

    @torch.no_grad()
    def swap_fixed(self) -> Tensor:
        """Sample the fixed triplets by the student: (2, F, C, S, S)."""
        batch, noise, _ = self.fixed()
        return torch.stack([self.swap(batch, start) for start in noise])

    @torch.no_grad()
    def swap_exact(self) -> tuple[TripletBatch, Tensor]:
        """Sample fixed pairs whose truths are pictures by the student: the pairs, (F, C, S, S)."""
        if self._held_out.has_truths:
            return self.fixed()[0], self.swap_fixed()[0]
        draw = Draw.of(self._config.fit.seed, 2**30)
        batch = self.batch(self._held_out.exact(draw.rng, FIXED_PAIRS), self._held_out)
        return batch, self.swap(batch, draw.normal(batch.truth))

    def evaluate(self) -> dict[str, float]:
        """Sample the fixed triplets: measure distances to teacher and truth, and diversity.

        ``fixed_diversity`` is the deviation from noise to noise inside the faces, over the
        teacher's; near 0 every noise leads to the same swap. ``fixed_hf_ratio`` is the energy of
        the finest scale inside the faces over the truth's, both decoded by the student's decoder.
        Where nobody knows a truth, the teacher's answer from the first noise stands for it.
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
        judged: Mapping[str, float] = {}
        if self._judge is not None:
            taught = self.decode(sample_to_latents(self._swap, wanted[0], batch.target))
            judged = self._judge.figures(crops, taught, self.decode(batch.source))
        to_truth = {
            "fixed_to_truth": apart(found, batch.truth),
            "fixed_teacher_to_truth": apart(wanted, batch.truth),
        }
        return {
            "fixed_to_teacher": apart(found, wanted),
            **(to_truth if self._held_out.has_truths else {}),
            **judged,
            "fixed_psnr_db": figures["psnr_face_db"],
            "fixed_hf_ratio": figures["hf_ratio"],
            "fixed_diversity": (apart(*found) / max(apart(*wanted), 1e-12)) ** 0.5,
        }


class StudentTask(Student, ABC):
    """Base of the objectives: subclasses give ``loss``."""

    @abstractmethod
    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Loss of one batch and its terms; ``done`` is the share of the fitting behind us."""
