"""Swap aligned crops in torch: the reference pipeline that parity tests compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from torch import Tensor

from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_sample
from edgeswap_compress.checkpoint.pictures import pictures_of
from edgeswap_compress.checkpoint.schedulers import sampling_scheduler
from edgeswap_compress.checkpoint.target_maps import TargetMaps, target_maps
from edgeswap_compress.conditioning.condition import Pictures
from edgeswap_compress.conditioning.crops import MODEL_CROP, picture_key

TARGET, SOURCE = (picture_key(MODEL_CROP, owner) for owner in ("target", "source"))


@dataclass
class SwapOutput(BaseOutput):
    """Result of a batch of swaps.

    Attributes:
        crops: (N, 3, R, R) float32 RGB in [-1, 1].
        sample: (N, C, S, S) the final diffusion sample.
        alpha: (N, 1, R, R) float32 in [0, 1], 1 where the crop replaces the target; None where the
            model does not say.
    """

    crops: Tensor
    sample: Tensor
    alpha: Tensor | None = None


class SwapPipeline(DiffusionPipeline):
    """Swaps a batch of aligned crops with diffusers' own schedulers and classifier-free guidance.

    Args:
        checkpoint: its modules, all of one dtype.
        scheduler: any diffusers scheduler of the checkpoint's noise schedule.
    """

    unet: Any
    vae: Any
    scheduler: Any

    def __init__(self, checkpoint: Checkpoint, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(unet=checkpoint.unet, vae=checkpoint.vae, scheduler=scheduler)
        self.swap = checkpoint.swap
        self.overlay = checkpoint.overlay
        self.denoiser = checkpoint.denoiser()
        self.conditioner = SwapConditioner.of(checkpoint)
        self.set_progress_bar_config(disable=True)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, scheduler: Any = None) -> SwapPipeline:
        """Make a pipeline of a loaded checkpoint, with its own scheduler unless one is given."""
        return cls(checkpoint, scheduler or sampling_scheduler(checkpoint))

    @torch.no_grad()
    def __call__(
        self,
        target: Tensor,
        source: Tensor,
        *,
        pictures: Pictures | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        on_step: Callable[[int, Tensor], None] | None = None,
    ) -> SwapOutput:
        """Give each target crop the inner face of its source.

        Args:
            target: (N, 3, R, R) RGB in [-1, 1], aligned.
            source: (N, 3, R, R) RGB in [-1, 1], aligned.
            pictures: the other crops and hints that the checkpoint's conditions look at; those that
                are missing are cut out of the two crops.
            num_inference_steps: of a whole schedule; default: the checkpoint's.
            guidance_scale: default: the checkpoint's; 1.0 means one evaluation a step.
            noise: (N, C, S, S) start of the sampling, unit normal; default: drawn.
            generator: randomness of the start and of stochastic schedulers.
            on_step: is called after each step with its number and the sample (N, C, S, S).

        Returns:
            The crops, the final sample, and alpha where the model gives it.
        """
        swap, dtype = self.swap, next(self.unet.parameters()).dtype
        scale = swap.guidance_scale if guidance_scale is None else guidance_scale
        device = next(self.unet.parameters()).device
        target, source = target.to(device), source.to(device)
        given = pictures_of(swap, self.conditioner.crops, target, source, pictures or {})
        seen = {name: picture.to(device, dtype) for name, picture in given.items()}
        hint = None if swap.controlnet is None else seen[swap.controlnet.picture]
        maps = target_maps(self.vae, swap, target.to(dtype), hint)
        condition = self.conditioner.condition(seen).to(dtype)
        null = self.conditioner.null(len(target)).to(dtype) if scale != 1.0 else condition
        if noise is None:
            shape = (len(target), swap.latent_channels, swap.latent_size, swap.latent_size)
            noise = torch.randn(shape, generator=generator)
        noise = noise.float().to(device)
        timesteps = self._timesteps(num_inference_steps or swap.default_steps, device)
        sample = self._start(maps, noise, timesteps)
        for index, timestep in enumerate(self.progress_bar(timesteps)):
            scaled = self.scheduler.scale_model_input(sample, timestep).to(dtype)
            output = self.denoiser.guided(scaled, timestep, maps, condition, null, scale)
            sample = self._step(output.float(), timestep, sample, generator)
            sample = self._blend(maps, sample, noise, timesteps[index + 1 :])
            if on_step is not None:
                on_step(index, sample)
        crops = decode_sample(self.vae, swap, sample.to(dtype), maps.latents)
        if self.overlay is None:
            return SwapOutput(crops=crops.float(), sample=sample)
        crops, alpha = self.overlay(crops, target.to(dtype))
        return SwapOutput(crops=crops.float(), sample=sample, alpha=alpha.float())

    def _timesteps(self, steps: int, device: torch.device) -> Tensor:
        """Set the schedule, and leave out what the strength leaves out."""
        self.scheduler.set_timesteps(steps, device=device)
        kept = self.swap.sampling.start.kept(steps)
        skipped = (steps - kept) * self.scheduler.order
        if skipped and hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(skipped)
        timesteps: Tensor = self.scheduler.timesteps[skipped:]
        return timesteps

    def _start(self, maps: TargetMaps, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Give the first sample: noise, or the target noised as far as the strength says."""
        if self.swap.sampling.start.at == "noise":
            return noise * float(self.scheduler.init_noise_sigma)
        assert maps.latents is not None  # noqa: S101 needs_latents
        return self._noised(maps.latents, noise, timesteps)

    def _noised(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Noise latents to the first of the timesteps; they stay clean where there is none."""
        if not len(timesteps):
            return latents.float()
        at = timesteps[:1].repeat(len(latents))
        noised: Tensor = self.scheduler.add_noise(latents.float(), noise, at)
        return noised

    def _blend(self, maps: TargetMaps, sample: Tensor, noise: Tensor, after: Tensor) -> Tensor:
        """Set what the mask keeps back to the target, noised as far as the sample is now."""
        if self.swap.sampling.blend == "none":
            return sample
        assert maps.latents is not None and maps.mask is not None  # noqa: S101 needs_mask
        mask = maps.mask.float()
        return mask * sample + (1.0 - mask) * self._noised(maps.latents, noise, after)

    def _step(
        self, output: Tensor, timestep: Tensor, sample: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """The sample stays float32 whatever the modules' dtype: steps add small numbers to it."""
        extra = self.prepare_extra_step_kwargs(generator)
        result: Tensor = self.scheduler.step(output, timestep, sample, return_dict=False, **extra)[
            0
        ]
        return result

    def prepare_extra_step_kwargs(self, generator: torch.Generator | None) -> Mapping[str, Any]:
        """Give the generator to schedulers that draw noise; deterministic ones may not take one."""
        names = self.scheduler.step.__code__.co_varnames
        return {"generator": generator} if "generator" in names else {}
