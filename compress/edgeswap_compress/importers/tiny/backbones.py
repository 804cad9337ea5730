"""Write tiny diffusers folders: Stable Diffusion 1.5 and XL, and ControlNets beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UNet2DConditionModel,
)
from safetensors.torch import save_file

WIDTH = 64
"""Of cross-attention: one head of a resampler, the least there is."""
XL_WIDTH = 128
POOLED = 32
TIME = 8
"""Width of each of the six numbers that Stable Diffusion XL is told beside the pooled text."""


def tiny_unet(channels: int = 4, **changes: Any) -> UNet2DConditionModel:
    """Make a U-Net of Stable Diffusion 1.5's form with random weights.

    Args:
        channels: at its input: 4, 8 or 9.
        changes: of its config.
    """
    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "in_channels": channels,
            "out_channels": 4,
            "block_out_channels": (32, 64),
            "layers_per_block": 1,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": WIDTH,
            "attention_head_dim": 8,
            **changes,
        }
    ).eval()


def tiny_xl_unet(channels: int = 4, **changes: Any) -> UNet2DConditionModel:
    """Make a U-Net of Stable Diffusion XL's form with random weights."""
    xl = {
        "cross_attention_dim": XL_WIDTH,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": TIME,
        "projection_class_embeddings_input_dim": POOLED + 6 * TIME,
        "transformer_layers_per_block": (1, 2),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return tiny_unet(channels, **{**xl, **changes})


def tiny_vae(scaling_factor: float = 0.18215) -> AutoencoderKL:
    """Make an autoencoder of Stable Diffusion's form: 8 px of a picture to one latent pixel."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 32, 32, 32),
        layers_per_block=1,
        latent_channels=4,
        sample_size=64,
        scaling_factor=scaling_factor,
    ).eval()


def tiny_base(
    folder: Path,
    *,
    channels: int = 4,
    xl: bool = False,
    seed: int = 0,
    prediction_type: str = "epsilon",
    **changes: Any,
) -> Path:
    """Write a diffusers pipeline folder without its text encoders.

    Args:
        folder: to make.
        channels: at the U-Net's input.
        xl: whether it is of Stable Diffusion XL's form.
        seed: of the weights.
        prediction_type: what the U-Net predicts.
        changes: of the U-Net's config.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = (tiny_xl_unet if xl else tiny_unet)(channels, **changes)
        vae = tiny_vae(0.13025 if xl else 0.18215)
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    kind = EulerDiscreteScheduler if xl else PNDMScheduler
    scheduler = kind(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        prediction_type=prediction_type,
        **({} if xl else {"skip_prk_steps": True}),
    )
    scheduler.save_pretrained(folder / "scheduler")
    name = "StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline"
    index = {
        "_class_name": name,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", kind.__name__],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def tiny_controlnet(folder: Path, base: Path, seed: int = 2) -> Path:
    """Write a ControlNet that fits a base folder's U-Net, with random weights in every layer."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=(8, 8, 16, 16), load_weights_from_unet=False
        )
        for parameter in net.parameters():  # its last layers begin at zero, which would say nothing
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
    net.eval().save_pretrained(folder)
    return folder


def tiny_prompt(folder: Path, *, xl: bool = False, tokens: int = 77, seed: int = 3) -> Path:
    """Write what a text encoder would say of a prompt and of a negative prompt."""
    random = torch.Generator().manual_seed(seed)
    width = XL_WIDTH if xl else WIDTH
    values = {
        name: torch.randn(1, tokens, width, generator=random)
        for name in ("prompt_embeds", "negative_prompt_embeds")
    }
    if xl:
        for name in ("pooled_prompt_embeds", "negative_pooled_prompt_embeds"):
            values[name] = torch.randn(1, POOLED, generator=random)
    file = folder / "prompt.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(values, file)
    return file
