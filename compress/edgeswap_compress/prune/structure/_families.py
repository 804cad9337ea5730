"""Tiny U-Nets of every family that can be pruned, for tests and for trying a plan out."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import nn

_SIZES: dict[str, Any] = {"sample_size": 8, "block_out_channels": (32, 64), "norm_num_groups": 8}
CONDITIONED: dict[str, Any] = {
    **_SIZES,
    "in_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "attention_head_dim": 8,
}
PLAIN: dict[str, Any] = {
    **_SIZES,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 8,
}
_SWAP: dict[str, Any] = {
    **CONDITIONED,
    "in_channels": 12,
    "attention_head_dim": 4,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 8,
    "resnet_time_scale_shift": "scale_shift",
    "use_linear_projection": True,
}
_THREE_LEVELS: dict[str, Any] = {
    **PLAIN,
    "block_out_channels": (32, 32, 64),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
}
_THREE_CONDITIONED: dict[str, Any] = {
    **CONDITIONED,
    "block_out_channels": (32, 32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}

FAMILIES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "swap": (UNet2DConditionModel, _SWAP),
    "sd1": (
        UNet2DConditionModel,
        {
            **CONDITIONED,
            "layers_per_block": 2,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        },
    ),
    "sd2": (
        UNet2DConditionModel,
        {**CONDITIONED, "attention_head_dim": (2, 4), "use_linear_projection": True},
    ),
    "inpainting": (UNet2DConditionModel, {**CONDITIONED, "in_channels": 9}),
    "thirteen channels": (
        UNet2DConditionModel,
        {**CONDITIONED, "in_channels": 13, "sample_size": (8, 12), "conv_in_kernel": 5},
    ),
    "image to image": (
        UNet2DConditionModel,
        {**_THREE_CONDITIONED, "in_channels": 8, "layers_per_block": (2, 1, 1)},
    ),
    "sdxl": (
        UNet2DConditionModel,
        {
            **CONDITIONED,
            "attention_head_dim": (2, 4),
            "transformer_layers_per_block": (1, 2),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 80,
        },
    ),
    "upscaler": (
        UNet2DConditionModel,
        {
            **_THREE_CONDITIONED,
            "in_channels": 7,
            "only_cross_attention": (True, True, False),
            "num_class_embeds": 10,
            "use_linear_projection": True,
            "act_fn": "gelu",
            "center_input_sample": True,
        },
    ),
    "class conditional": (UNet2DConditionModel, {**CONDITIONED, "num_class_embeds": 10}),
    "no mid block": (UNet2DConditionModel, {**CONDITIONED, "mid_block_type": None}),
    "resnet mid block": (
        UNet2DConditionModel,
        {**CONDITIONED, "mid_block_type": "UNetMidBlock2D", "encoder_hid_dim": 12},
    ),
    "ddpm": (UNet2DModel, {**PLAIN, "layers_per_block": 2}),
    "learned variance": (UNet2DModel, {**PLAIN, "out_channels": 6, "downsample_padding": 0}),
    "one head": (UNet2DModel, {**_THREE_LEVELS, "attention_head_dim": None}),
    "adm": (
        UNet2DModel,
        {
            **PLAIN,
            "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
            "resnet_time_scale_shift": "scale_shift",
            "num_class_embeds": 5,
        },
    ),
    "resnet resamplers": (
        UNet2DModel,
        {**_THREE_LEVELS, "downsample_type": "resnet", "upsample_type": "resnet"},
    ),
    "fourier": (
        UNet2DModel,
        {**PLAIN, "time_embedding_type": "fourier", "add_attention": False},
    ),
    "a group a channel": (UNet2DModel, {**PLAIN, "norm_num_groups": 32}),
}
"""Name -> class and config. All take 8 x 8 or 8 x 12 samples."""


def tiny_unet(family: str, seed: int = 0) -> Any:
    """Make a U-Net with random weights, norms included, so that no two channels are alike.

    Args:
        family: a key of `FAMILIES`.
        seed: of the weights; the caller's random state is left alone.
    """
    kind, config = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = kind(**config).eval()
        for module in unet.modules():
            if isinstance(module, nn.GroupNorm | nn.LayerNorm):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return unet
