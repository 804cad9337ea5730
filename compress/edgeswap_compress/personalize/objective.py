"""Objective of a personalization: swaps of the person, and everybody else as before."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeswap_compress.checkpoint.denoiser import SwapDenoiser
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import sample_to_latents
from edgeswap_compress.checkpoint.schedulers import sampling_scheduler
from edgeswap_compress.fit.config import CONDITION_DROPOUT
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.losses import LatentIdentityLoss
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.material.batches import PairBatch, PairReader
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.fit.noise_levels import NoiseLevels, timesteps_of
from edgeswap_compress.fit.sampling import LatentSampler
from edgeswap_compress.personalize._lora import adapt
from edgeswap_compress.personalize.config import PersonalizeConfig
from edgeswap_compress.personalize.photos import PersonPictures

FIXED, AT_ONCE = 32, 16
"""Swaps that each of the figures is measured on, and those of a batch."""


class PersonalizeObjective:
    """Swaps of the person and swaps of others, half a batch each (DreamBooth, 2208.12242, eq. 2).

    The person: photo i is the source, photo j in disguise the target, photo j the truth. The prior:
    pairs of other people, on which the student's answer before is the truth. Both are asked at the
    timesteps that the student visits, on the states that it meets there, and compared in what its
    U-Net predicts.

    Args:
        student: its U-Net gets adapters and alone learns.
        pictures: photos of the person, and their disguises by this student.
        person: the same, as the student sees them.
        others: other people, likewise.
    """

    def __init__(
        self,
        student: Checkpoint,
        config: PersonalizeConfig,
        pictures: PersonPictures,
        person: PairSet,
        others: PairSet,
    ) -> None:
        self._before = copy.deepcopy(student.unet).requires_grad_(False).eval()
        for module in student.modules().values():
            module.requires_grad_(False)
        self.adapted = adapt(student.unet, config.rank, config.fit.seed)
        self.module: nn.Module = student.unet
        self._controlnet, self._swap, self._config = student.controlnet, student.swap, config
        self._pictures, self._person, self._others = pictures, person, others
        self._device = device_of(student.unet)
        sampling, self._levels = student.swap.sampling, NoiseLevels(student.scheduler)
        kept = sampling.start.kept(sampling.steps)
        visited = timesteps_of(sampling_scheduler(student), sampling.steps, kept=kept)
        self._sampler = LatentSampler.of(self._swap, self._levels, visited.to(self._device))
        self._reader = PairReader(student, config.mask_weight)
        self._identity = None
        if config.identity.weight > 0:
            self._identity = LatentIdentityLoss(student.conditioner)

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of the person's swaps and, unless ``prior_weight`` is 0, of others."""
        config, parts = self._config, dict[str, float]()
        half = batch_size if config.prior_weight == 0 else (batch_size + 1) // 2
        batch = self._photos(draw, half)
        x, steps = self._state(batch, draw)
        wanted = self._levels.wanted(x, batch.clean, steps)
        total = self._distance("person", draw, batch, (x, steps), wanted, parts)
        if half < batch_size:
            batch = self._strangers(draw, batch_size - half)
            x, steps = self._state(batch, draw)
            with torch.no_grad():
                wanted = self._predict(self._before, batch, x, steps)
            prior = self._distance("prior", draw, batch, (x, steps), wanted, parts)
            total = total + config.prior_weight * prior
        return total, parts

    def _distance(
        self,
        name: str,
        draw: Draw,
        batch: PairBatch,
        state: tuple[Tensor, Tensor],
        wanted: Tensor,
        parts: dict[str, float],
    ) -> Tensor:
        """Measure how far predictions are from the wanted ones, and so their identities."""
        output = self._predict(self.module, batch, *state)
        total = batch.apart(output, wanted)
        parts[name] = float(total.detach())
        if self._identity is not None:
            config = self._config.identity
            found, right = (self._latents(batch, x, *state) for x in (output, wanted))
            spoil = config.noise * draw.shares(right) * draw.normal(right)
            identity = self._identity(found, right, noise=spoil)
            parts[f"{name}_identity"] = float(identity.detach())
            total = total + config.weight * identity
        return total

    def _photos(self, draw: Draw, n: int) -> PairBatch:
        return self._reader.read(self._person, self._pictures.draw(draw.rng, n))

    def _strangers(self, draw: Draw, n: int) -> PairBatch:
        """Draw other people's pairs; with guidance, what it takes for no source stays too."""
        drawn, kept = self._others.draw(draw.rng, n), None
        if self._swap.guidance_scale != 1.0:
            kept = torch.from_numpy(draw.rng.random(n) >= CONDITION_DROPOUT).to(self._device)
        return self._reader.read(self._others, drawn, kept)

    def _state(self, batch: PairBatch, draw: Draw) -> tuple[Tensor, Tensor]:
        """Noise the truths to random ones of the student's timesteps."""
        timesteps = self._sampler.timesteps
        level = torch.from_numpy(draw.rng.integers(len(timesteps), size=len(batch.clean)))
        steps = timesteps[level]
        noise = draw.normal(batch.clean)
        return self._sampler.noised(batch.clean, batch.target, noise, steps), steps

    def _predict(self, unet: Any, batch: PairBatch, x: Tensor, steps: Tensor) -> Tensor:
        denoiser = SwapDenoiser(unet, self._swap, self._controlnet)
        noisy = self._reader.cast(x)
        return denoiser.predict(noisy, steps, batch.maps, batch.condition).float()

    def _latents(self, batch: PairBatch, output: Tensor, x: Tensor, steps: Tensor) -> Tensor:
        """Give the swap's latents that a prediction leads to."""
        clean = self._levels.clean(x, self._levels.as_velocity(output, x, steps), steps)
        return sample_to_latents(self._swap, clean, batch.target)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Measure fixed swaps: the person's against the photos, others' against what they were.

        ``fixed_person_before`` is the same distance without the adapters.
        """
        rows = []
        for number in range(FIXED // AT_ONCE):
            draw = Draw.of(self._config.fit.seed, 2**30 + number)
            batch = self._photos(draw, AT_ONCE)
            x, steps = self._state(batch, draw)
            wanted = self._levels.wanted(x, batch.clean, steps)
            after, before = (self._predict(u, batch, x, steps) for u in (self.module, self._before))
            others = self._strangers(draw, AT_ONCE)
            x, steps = self._state(others, draw)
            moved, kept = (self._predict(u, others, x, steps) for u in (self.module, self._before))
            pairs = ((batch, after, wanted), (batch, before, wanted), (others, moved, kept))
            rows.append([float(seen.apart(found, right)) for seen, found, right in pairs])
        names = ("fixed_person", "fixed_person_before", "fixed_others_moved")
        return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
