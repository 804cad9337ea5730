"""Objective of a personalization: swaps of the person, and everybody else as before."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgeswap_compress.checkpoint.denoiser import SwapDenoiser
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import latents_to_sample, sample_to_latents
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.fit.latent_cache import LatentGroups, draw_triplets
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.losses import LatentIdentityLoss, face_weights
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.noise_levels import NoiseLevels, timesteps_of
from edgeswap_compress.personalize._config import PersonalizeConfig
from edgeswap_compress.personalize._lora import adapt
from edgeswap_compress.personalize._photos import PersonPhotos

FIXED = 32
"""Swaps that each of the figures is measured on."""


class PersonalizeObjective:
    """Swaps of the person and swaps of others, half a batch each (DreamBooth, 2208.12242, eq. 2).

    The person: photo i is the source, photo j in disguise the target, photo j the truth. The prior:
    synthetic triplets, on which the student's answer before is the truth.

    Args:
        student: its U-Net gets adapters and alone learns.
        person: photos, and their disguises by this student.
        others: synthetic people, in the student's latents.
    """

    def __init__(
        self,
        student: Checkpoint,
        config: PersonalizeConfig,
        person: PersonPhotos,
        others: LatentGroups,
    ) -> None:
        self._before = copy.deepcopy(student.unet).requires_grad_(False).eval()
        student.conditioner.requires_grad_(False)
        self.adapted = adapt(student.unet, config.rank, config.fit.seed)
        self.module: nn.Module = student.unet
        self._conditioner, self._swap, self._config = student.conditioner, student.swap, config
        self._person, self._others = person, others
        self._levels = NoiseLevels(student.scheduler)
        self._device = device_of(student.unet)
        steps = timesteps_of(student.scheduler, student.swap.default_steps)
        self._timesteps = steps.to(self._device)
        self._identity = LatentIdentityLoss(student.conditioner)
        self._dtype = next(student.unet.parameters()).dtype
        weight = face_weights(person.mask, config.mask_weight).to(self._device)
        self._weight = weight / weight.mean()

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of the person's swaps and, unless ``prior_weight`` is 0, of others."""
        config, parts = self._config, dict[str, float]()
        half = batch_size if config.prior_weight == 0 else (batch_size + 1) // 2
        target, source, truth = self._photos(draw, half)
        clean = self._clean(self.module, draw, target, source, truth)
        wanted = latents_to_sample(self._swap, truth, target)
        total = self._distance("person", draw, (clean, wanted), target, parts)
        if half < batch_size:
            clean, wanted, target = self._prior(draw, batch_size - half)
            prior = self._distance("prior", draw, (clean, wanted), target, parts)
            total = total + config.prior_weight * prior
        return total, parts

    def _distance(
        self,
        name: str,
        draw: Draw,
        samples: tuple[Tensor, Tensor],
        target: Tensor,
        parts: dict[str, float],
    ) -> Tensor:
        """Measure how far clean samples are from the wanted ones, and so their identities."""
        config, (clean, wanted) = self._config, samples
        total = self._apart(clean, wanted)
        parts[name] = float(total.detach())
        if config.identity.weight > 0:
            found, right = (sample_to_latents(self._swap, x, target) for x in samples)
            spoil = config.identity.noise * draw.shares(right) * draw.normal(right)
            identity = self._identity(found, right, noise=spoil)
            parts[f"{name}_identity"] = float(identity.detach())
            total = total + config.identity.weight * identity
        return total

    def _photos(self, draw: Draw, n: int) -> tuple[Tensor, Tensor, Tensor]:
        person, rng = self._person, draw.rng
        count, worn = person.disguised.shape[:2]
        i, j = (torch.from_numpy(rng.integers(count, size=n)) for _ in range(2))
        k = torch.from_numpy(rng.integers(worn, size=n))
        found = (person.disguised[j, k], person.photos[i], person.photos[j])
        target, source, truth = (x.to(self._device) for x in found)
        return target, source, truth

    def _triplets(self, draw: Draw, n: int) -> tuple[Tensor, Tensor, Tensor]:
        t = draw_triplets(draw.rng, len(self._others), self._others.identities, n)
        target, source, truth = (
            self._others.read(t.group, x, self._device) for x in (t.target, t.source, t.truth)
        )
        return target, source, truth

    def _prior(self, draw: Draw, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Predict clean samples of other people's swaps, now and before, and give the targets."""
        target, source, truth = self._triplets(draw, n)
        now, again = _twice(draw)
        with torch.no_grad():
            wanted = self._clean(self._before, now, target, source, truth)
        return self._clean(self.module, again, target, source, truth), wanted, target

    def _clean(
        self,
        unet: Callable[..., object],
        draw: Draw,
        target: Tensor,
        source: Tensor,
        truth: Tensor,
    ) -> Tensor:
        """Predict clean samples at random ones of the student's timesteps."""
        level = torch.from_numpy(draw.rng.integers(len(self._timesteps), size=len(target)))
        steps = self._timesteps[level]
        clean = latents_to_sample(self._swap, truth, target)
        x = self._levels.add(clean, draw.normal(clean), steps)
        condition = self._conditioner.condition(self._cast(source))
        denoiser, seen = SwapDenoiser(unet, self._swap), TargetMaps(self._cast(target))
        output = denoiser.predict(self._cast(x), steps, seen, condition)
        return self._levels.clean(x, output.float(), steps)

    def _apart(self, found: Tensor, wanted: Tensor) -> Tensor:
        return ((found - wanted).square() * self._weight).mean()

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Measure fixed swaps: the person's against the photos, others' against what they were.

        ``fixed_person_before`` is the same distance without the adapters.
        """
        draw = Draw.of(self._config.fit.seed, 2**30)
        target, source, truth = self._photos(draw, FIXED)
        now, again = _twice(draw)
        wanted = latents_to_sample(self._swap, truth, target)
        after = self._clean(self.module, now, target, source, truth)
        before = self._clean(self._before, again, target, source, truth)
        moved, kept, _ = self._prior(Draw.of(self._config.fit.seed, 2**30 + 1), FIXED)
        return {
            "fixed_person": float(self._apart(after, wanted)),
            "fixed_person_before": float(self._apart(before, wanted)),
            "fixed_others_moved": float(self._apart(moved, kept)),
        }


def _twice(draw: Draw) -> tuple[Draw, Draw]:
    """Make two draws of the same randomness."""
    seed = int(draw.rng.integers(2**31))
    return Draw.of(seed, 0), Draw.of(seed, 0)
