"""Sample in latents as `SwapPipeline` does: from noise or the target, blended with it or not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.target_maps import latent_mask
from edgeswap_compress.fit.noise_levels import CLEAN, NoiseLevels


@dataclass(frozen=True, slots=True)
class LatentSampler:
    """The states that a model is asked at, as its start and its blending make them.

    Where sampling begins at the target, or blends with it, samples are latents, and ``target`` is
    the targets' normalized latents (N, C, S, S). Elsewhere it is not looked at.

    Attributes:
        levels: of the noise schedule.
        timesteps: (n,) that are visited, descending; the last one is followed by the clean sample.
        from_target: whether the first state is the noised target rather than noise alone.
        mask: (1, 1, S, S), 1 where the face is repainted; None without blending.
    """

    levels: NoiseLevels
    timesteps: Tensor
    from_target: bool = False
    mask: Tensor | None = None

    @classmethod
    def of(cls, swap: SwapConfig, levels: NoiseLevels, timesteps: Tensor) -> LatentSampler:
        """Make the sampler that a swap config states.

        Args:
            swap: of the checkpoint.
            levels: of its noise schedule.
            timesteps: that are run, on the device that computes.
        """
        blends = swap.sampling.blend == "latents"
        mask = latent_mask(swap).to(timesteps.device) if blends else None
        return cls(levels, timesteps, swap.sampling.start.at == "target", mask)

    def to(self, device: torch.device) -> LatentSampler:
        """Copy to a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return replace(self, timesteps=self.timesteps.to(device), mask=mask)

    def first(self, target: Tensor, noise: Tensor) -> Tensor:
        """Give the state that sampling begins at: (N, C, S, S)."""
        if not self.from_target:
            return noise
        return self.levels.add(target, noise, self.timesteps[:1].expand(len(noise)))

    def blended(self, x: Tensor, target: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Set what the mask keeps back to the target, noised to timesteps (N,)."""
        if self.mask is None:
            return x
        return self.mask * x + (1.0 - self.mask) * self.levels.add(target, noise, steps)

    def ended(self, clean: Tensor, target: Tensor) -> Tensor:
        """Set what the mask keeps of clean samples back to the target."""
        last = torch.full((len(clean),), CLEAN, device=clean.device)
        return self.blended(clean, target, clean, last)

    def noised(self, clean: Tensor, target: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Noise clean samples to timesteps (N,), as they are on the way there.

        Where sampling begins nothing of the clean sample is known yet.
        """
        begins = (steps == self.timesteps[0]).view(-1, 1, 1, 1)
        later = self.blended(self.levels.add(clean, noise, steps), target, noise, steps)
        return torch.where(begins, self.first(target, noise), later)

    def target_share(self, steps: Tensor) -> Tensor:
        """Tell how much of the clean part of states at timesteps (N,) is the target's: 0 to 1.

        Returns:
            (N, 1, 1, 1) without blending, else (N, 1, S, S).
        """
        begins = (steps == self.timesteps[0]).view(-1, 1, 1, 1)
        later = torch.zeros_like(begins) if self.mask is None else 1.0 - self.mask
        first = torch.full_like(begins, float(self.from_target))
        return torch.where(begins, first, later).float()

    def sample(
        self, velocity: Callable[[Tensor, Tensor], Tensor], target: Tensor, noise: Tensor
    ) -> Tensor:
        """Sample by DDIM.

        Args:
            velocity: of x (N, C, S, S) at timesteps (N,).
            target: (N, C, S, S) latents of the targets.
            noise: (N, C, S, S).

        Returns:
            (N, C, S, S) the samples.
        """
        x, visited = self.first(target, noise), F.pad(self.timesteps, (0, 1), value=CLEAN)
        for now, after in itertools.pairwise(visited):
            steps, later = now.expand(len(x)), after.expand(len(x))
            x = self.levels.step(x, velocity(x, steps), steps, later)
            x = self.blended(x, target, noise, later)
        return x
