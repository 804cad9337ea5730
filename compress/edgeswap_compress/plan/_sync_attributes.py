"""Update the sizes that diffusers' modules store as attributes after their layers were cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D, FirDownsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import FirUpsample2D, Upsample2D
from torch import nn

from edgeswap_compress.conditioning.decoupled import adapter_parts


def sync_attributes(unet: nn.Module, heads: dict[str, int]) -> None:
    """Update the stored sizes of every module of a U-Net whose layers have been cut.

    Args:
        unet: any diffusers U-Net; its `config` stays that of the original.
        heads: name of an attention module -> its number of heads now.
    """
    for name, module in unet.named_modules():
        for kind, sync in _SYNCS.items():
            if isinstance(module, kind):
                sync(module)
        if isinstance(module, Attention) and name in heads:
            module.heads = module.sliceable_head_dim = heads[name]


def _sync_resampler(sampler: Downsample2D | Upsample2D) -> None:
    if not (sampler.use_conv or getattr(sampler, "use_conv_transpose", False)):
        return
    conv = sampler.conv if hasattr(sampler, "conv") else sampler.Conv2d_0
    if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d):
        sampler.channels, sampler.out_channels = conv.in_channels, conv.out_channels


def _sync_fir(sampler: FirDownsample2D | FirUpsample2D) -> None:
    if sampler.use_conv:
        sampler.out_channels = sampler.Conv2d_0.out_channels


def _sync_resnet(resnet: ResnetBlock2D) -> None:
    resnet.in_channels = resnet.conv1.in_channels
    resnet.out_channels = resnet.conv1.out_channels
    for sampler in (resnet.upsample, resnet.downsample):
        # Resamplers without a convolution of their own check the channels they pass through.
        if isinstance(sampler, Downsample2D | Upsample2D):
            sampler.channels = sampler.out_channels = resnet.conv1.in_channels


def _sync_attention(attention: Attention) -> None:
    if attention.to_q is not None:
        attention.query_dim = attention.to_q.in_features
    attention.inner_dim = attention.to_v.out_features
    for part in adapter_parts(attention):
        attention.processor.hidden_size = attention.get_submodule(part).out_features
    if attention.to_k is not None:
        attention.inner_kv_dim = attention.to_k.out_features
        attention.cross_attention_dim = attention.to_k.in_features
    if attention.to_out is not None:
        attention.out_dim = _rows(attention.to_out[0])


def _sync_transformer_block(block: BasicTransformerBlock) -> None:
    block.dim = block.attn1.to_q.in_features


def _sync_transformer(transformer: Transformer2DModel) -> None:
    if not transformer.is_input_continuous:
        return
    # proj_in and proj_out are linear layers or 1×1 convolutions, by config.
    transformer.inner_dim = _rows(transformer.proj_in)
    transformer.in_channels = transformer.norm.num_channels
    transformer.out_channels = _rows(transformer.proj_out)


def _rows(layer: Any) -> int:
    """Output width of a linear layer or an ungrouped convolution."""
    return int(layer.weight.shape[0])


_SYNCS: dict[type[nn.Module], Callable[..., None]] = {
    Downsample2D: _sync_resampler,
    Upsample2D: _sync_resampler,
    FirDownsample2D: _sync_fir,
    FirUpsample2D: _sync_fir,
    ResnetBlock2D: _sync_resnet,
    Attention: _sync_attention,
    BasicTransformerBlock: _sync_transformer_block,
    Transformer2DModel: _sync_transformer,
}
