"""Swap aligned crops in torch: the reference pipeline that parity tests compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from torch import Tensor

from edgeswap_compress.autoencoders.target_blend import TargetBlend
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_sample, encode_crop, guided
from edgeswap_compress.checkpoint.swap_config import SwapConfig


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
        unet, vae, conditioner: the modules of a checkpoint, all of one dtype.
        scheduler: any diffusers scheduler of the checkpoint's noise schedule.
        swap: the checkpoint's swap config.
        blend: its network behind the decoder, where it has one.
    """

    unet: Any
    vae: Any
    conditioner: Any
    scheduler: Any

    def __init__(
        self,
        unet: Any,
        vae: Any,
        conditioner: Any,
        scheduler: Any,
        swap: SwapConfig,
        blend: TargetBlend | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, vae=vae, conditioner=conditioner, scheduler=scheduler)
        self.swap, self.blend = swap, blend
        self.set_progress_bar_config(disable=True)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, scheduler: Any = None) -> SwapPipeline:
        """Make a pipeline of a loaded checkpoint, with its own scheduler unless one is given."""
        return cls(
            unet=checkpoint.unet,
            vae=checkpoint.vae,
            conditioner=checkpoint.conditioner,
            scheduler=scheduler or checkpoint.scheduler,
            swap=checkpoint.swap,
            blend=checkpoint.blend,
        )

    @torch.no_grad()
    def __call__(
        self,
        target: Tensor,
        source: Tensor,
        *,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> SwapOutput:
        """Give each target crop the inner face of its source.

        Args:
            target: (N, 3, R, R) RGB in [-1, 1], aligned.
            source: (N, 3, R, R) RGB in [-1, 1], aligned.
            num_inference_steps: default: the checkpoint's.
            guidance_scale: default: the checkpoint's; 1.0 means one evaluation a step.
            noise: (N, C, S, S) start of the sampling, unit normal; default: drawn.
            generator: randomness of the start and of stochastic schedulers.

        Returns:
            The crops, the final sample, and alpha where the model gives it.
        """
        swap, dtype = self.swap, next(self.unet.parameters()).dtype
        scale = swap.guidance_scale if guidance_scale is None else guidance_scale
        target_latents = encode_crop(self.vae, swap, target.to(dtype))
        condition = self.conditioner.condition(encode_crop(self.vae, swap, source.to(dtype)))
        if noise is None:
            noise = torch.randn(target_latents.shape, generator=generator)
        self.scheduler.set_timesteps(num_inference_steps or swap.default_steps)
        sample = noise.float() * float(self.scheduler.init_noise_sigma)
        for timestep in self.progress_bar(self.scheduler.timesteps):
            scaled = self.scheduler.scale_model_input(sample, timestep).to(dtype)
            output = guided(
                self.unet,
                self.conditioner,
                swap,
                scaled,
                timestep,
                target_latents,
                condition,
                scale,
            )
            sample = self._step(output.float(), timestep, sample, generator)
        crops = decode_sample(self.vae, swap, sample.to(dtype), target_latents)
        if self.blend is None:
            return SwapOutput(crops=crops.float(), sample=sample)
        crops, alpha = self.blend(crops, target.to(dtype))
        return SwapOutput(crops=crops.float(), sample=sample, alpha=alpha.float())

    def _step(
        self, output: Tensor, timestep: Tensor, sample: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """The sample stays float32 whatever the modules' dtype: steps add small numbers to it."""
        extra = self.prepare_extra_step_kwargs(generator)
        result: Tensor = self.scheduler.step(output, timestep, sample, return_dict=False, **extra)[
            0
        ]
        return result

    def prepare_extra_step_kwargs(self, generator: torch.Generator | None) -> dict[str, Any]:
        """Give the generator to schedulers that draw noise; deterministic ones may not take one."""
        names = self.scheduler.step.__code__.co_varnames
        return {"generator": generator} if "generator" in names else {}
