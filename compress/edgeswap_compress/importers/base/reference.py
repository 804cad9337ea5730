"""Run diffusers' own pipelines on an import's files: the truth that it is compared with."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import ControlNetModel
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from edgeswap_compress.checkpoint.schedulers import SCHEDULERS
from edgeswap_compress.checkpoint.swap_parts import SamplingConfig

OnStep = Callable[[int, Tensor], None]


class EnoughSteps(Exception):
    """Ends a pipeline's run after the steps that are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSwap:
    """One swap, as both pipelines are given it.

    Attributes:
        target: (1, 3, R, R) RGB in [-1, 1].
        mask: (1, 1, R, R), 1 where the face is repainted.
        hint: (1, 3, R, R) in [0, 1] for a ControlNet.
        tokens: (prompt, negative prompt), each (1, T, D).
        pooled: the same of Stable Diffusion XL, each (1, P).
        images: what the adapter's projection takes: (identity, guidance's), as
            `ip_adapter_image_embeds` has them.
        seed: of the noise.
    """

    target: Tensor
    mask: Tensor
    hint: Tensor | None = None
    tokens: tuple[Tensor, Tensor]
    pooled: tuple[Tensor, Tensor] | None = None
    images: tuple[Tensor, Tensor] | None = None
    seed: int = 0


@dataclass(slots=True, kw_only=True)
class Reference:
    """Diffusers' own modules, loaded by diffusers from the files that were imported.

    Attributes:
        unet, vae: modules, float32.
        scheduler: the base model's config, complete.
        sampling: how it is sampled.
        size_px: side of the crop.
        controlnet: beside the U-Net, or None.
        control_scale: factor of what it adds.
        xl: whether the pipeline is Stable Diffusion XL's.
        prepare: called with the pipeline before it runs, to load adapters.
        image_embeds: called with the scene before it runs, for projections that keep state.
    """

    unet: Any
    vae: Any
    scheduler: Mapping[str, Any]
    sampling: SamplingConfig
    size_px: int
    controlnet: Any = None
    control_scale: float = 1.0
    xl: bool = False
    prepare: Callable[[Any], None] = field(default=lambda pipe: None)
    image_embeds: Callable[[Any, ReferenceSwap], None] = field(default=lambda pipe, scene: None)

    def run(self, scene: ReferenceSwap, on_step: OnStep) -> None:
        """Sample, and report the latents after each step.

        Args:
            scene: what is swapped.
            on_step: is called with the step's number and the latents (1, C, S, S); it may raise
                `EnoughSteps`.
        """
        with quiet(), torch.no_grad():
            pipe = self._pipeline()
            self.prepare(pipe)
            self.image_embeds(pipe, scene)

            def told(_: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
                on_step(step, values["latents"])
                return {}

            try:
                pipe(**self._arguments(scene), callback_on_step_end=told)
            except EnoughSteps:
                return

    @property
    def mode(self) -> str:
        """Which of diffusers' three pipelines does what is asked."""
        sampling = self.sampling
        if self.unet.config.in_channels == 9 or sampling.blend == "latents":
            return "inpaint"
        return "image" if sampling.start.at == "target" else "text"

    def make_scheduler(self) -> Any:
        """Make the sampler that is asked for, from the base model's config."""
        settings = {k: v for k, v in self.scheduler.items() if not k.startswith("_")}
        if self.sampling.spacing is not None:
            settings["timestep_spacing"] = self.sampling.spacing
        kind = getattr(importlib.import_module("diffusers"), SCHEDULERS[self.sampling.sampler])
        return kind.from_config(settings)

    def _pipeline(self) -> Any:
        family = "StableDiffusionXL" if self.xl else "StableDiffusion"
        control = "" if self.controlnet is None else "ControlNet"
        ending = {"text": "", "image": "Img2Img", "inpaint": "Inpaint"}[self.mode]
        name = f"{family}{control}{ending}Pipeline"
        empty: dict[str, Any] = {"text_encoder": None, "tokenizer": None, "feature_extractor": None,
                                 "image_encoder": None}  # fmt: skip
        if self.xl:
            empty |= {"text_encoder_2": None, "tokenizer_2": None}
            if not (control and self.mode == "inpaint"):
                empty["add_watermarker"] = False
        else:
            empty |= {"safety_checker": None, "requires_safety_checker": False}
        given = {} if self.controlnet is None else {"controlnet": self.controlnet}
        pipe = getattr(importlib.import_module("diffusers"), name)(
            unet=self.unet, vae=self.vae, scheduler=self.make_scheduler(), **empty, **given
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def _arguments(self, scene: ReferenceSwap) -> dict[str, Any]:
        guided = self.sampling.guidance_scale > 1
        given: dict[str, Any] = {
            "prompt_embeds": scene.tokens[0],
            "negative_prompt_embeds": scene.tokens[1],
            "num_inference_steps": self.sampling.steps,
            "guidance_scale": self.sampling.guidance_scale,
            "generator": torch.Generator().manual_seed(scene.seed),
            "output_type": "latent",
        }
        if scene.pooled is not None:
            given["pooled_prompt_embeds"], given["negative_pooled_prompt_embeds"] = scene.pooled
        if scene.images is not None:
            one, none = scene.images
            given["ip_adapter_image_embeds"] = [torch.cat([none, one]) if guided else one]
        if self.mode != "image":
            given |= {"height": self.size_px, "width": self.size_px}
        if self.mode != "text":
            given |= {"image": scene.target, "strength": self.sampling.start.strength}
        if self.mode == "inpaint":
            given["mask_image"] = scene.mask
        if self.controlnet is not None:
            given["image" if self.mode == "text" else "control_image"] = scene.hint
            given["controlnet_conditioning_scale"] = self.control_scale
        return given


class TokensOfItsOwn(ControlNetModel):
    """A ControlNet whose cross-attention reads other tokens than the U-Net's, as InstantID's does.

    `own_tokens` is (identity's, guidance's), each (1, A, D); None reads what it is given.
    """

    own_tokens: tuple[Tensor, Tensor] | None = None

    def forward(self, sample: Tensor, *args: Any, **given: Any) -> Any:
        """Evaluate with the tokens of its own in the given ones' place."""
        if self.own_tokens is not None:
            one, none = self.own_tokens
            both = torch.cat([none, one]) if len(sample) == 2 else one
            given["encoder_hidden_states"] = both
        return super().forward(sample, *args, **given)


class MeanAlone(DiagonalGaussianDistribution):
    """A posterior whose draws are its mean, and take nothing from the generator."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Give the mean."""
        mean: Tensor = self.mean
        return mean


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what diffusers and transformers say of versions to come, and their progress."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from diffusers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    if importlib.util.find_spec("transformers") is not None:
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
