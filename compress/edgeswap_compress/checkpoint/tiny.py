"""A tiny seeded checkpoint of the default model's family, for tests and for trying a stage out."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.schedulers import noise_scheduler
from edgeswap_compress.checkpoint.swap_config import residual_swap_config
from edgeswap_compress.checkpoint.swap_parts import FaceMask, LatentSpace, SamplingConfig
from edgeswap_compress.conditioning.crops import crop_of_template
from edgeswap_compress.conditioning.source import SourceConditioner


def tiny_checkpoint(seed: int = 0, guidance_scale: float = 1.0) -> Checkpoint:
    """Make a checkpoint with random weights: 24 px crops, 4 x 4 x 4 latents, 16-wide tokens.

    Args:
        seed: of the weights; the caller's random state is left alone.
        guidance_scale: stored as the default.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = _tiny_modules()
    swap = residual_swap_config(
        crop_of_template("tight", 24),
        LatentSpace(
            channels=4,
            size=4,
            patch_size=3,
            mean=(0.0, 0.1, -0.1, 0.0),
            std=(1.0, 0.9, 1.1, 1.0),
        ),
        residual_std=(0.9, 1.0, 1.1, 1.2),
        sampling=SamplingConfig(steps=4, guidance_scale=guidance_scale),
        mask=FaceMask(center_px=(12.0, 14.0), radii_px=(8.0, 9.0), feather_px=2.0),
        history=({"stage": "tiny", "config": {"seed": seed}},),
    )
    checkpoint = Checkpoint(scheduler=noise_scheduler(), swap=swap, **modules)
    for module in modules.values():
        # values that fp16 holds exactly, so that saving and loading changes nothing
        torch.nn.Module.to(module.eval(), torch.float16).float()
    return checkpoint


def _tiny_modules() -> dict[str, Any]:
    unet = UNet2DConditionModel(
        sample_size=4,
        in_channels=12,
        out_channels=4,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=8,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=8,
        use_linear_projection=True,
        time_embedding_dim=32,
    )
    vae = AutoencoderKL(
        in_channels=27,
        out_channels=27,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=8,
        mid_block_add_attention=False,
    )
    conditioner = SourceConditioner(latent_channels=4, latent_size=4, widths=(8, 16), vector_size=8)
    return {"unet": unet, "vae": vae, "conditioner": conditioner}
