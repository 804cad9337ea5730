"""Give a U-Net decoupled cross-attention: adapter tokens with keys and values of their own."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import (
    Attention,
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
)
from torch import Tensor, nn

DECOUPLED = (IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0)
"""Processors that read tokens and adapter tokens."""


def cross_attentions(unet: Any) -> dict[str, Attention]:
    """List a U-Net's cross-attention layers by module path, in the order adapters number them."""
    modules = dict(unet.named_modules())
    paths = (name.removesuffix(".processor") for name in attention_processors(unet))
    return {path: modules[path] for path in paths if path.endswith(".attn2")}


def install_adapter(unet: Any, *, tokens: int, scale: float) -> None:
    """Put processors of decoupled attention (IP-Adapter, 2308.06721, eq. 5) into a U-Net, in place.

    The new layers `to_k_ip.0` and `to_v_ip.0` are made on the device and of the dtype of the
    attention's own `to_k`; on the meta device they cost nothing. They hold random values.

    Args:
        unet: with cross-attention; its other processors stay as they are.
        tokens: how many adapter tokens there will be.
        scale: factor of what attention to the adapter's tokens adds.
    """
    for attention in cross_attentions(unet).values():
        weight = attention.to_k.weight
        processor = IPAdapterAttnProcessor2_0(
            hidden_size=weight.shape[0],
            cross_attention_dim=weight.shape[1],
            num_tokens=(tokens,),
            scale=scale,
        )
        attention.set_processor(nn.Module.to(processor, weight.device, weight.dtype))


def has_adapter(unet: Any) -> bool:
    """Tell whether a U-Net's cross-attention is decoupled."""
    return any(isinstance(p, DECOUPLED) for p in attention_processors(unet).values())


def attention_processors(unet: Any) -> dict[str, Any]:
    """Give the attention processors by path; a `UNet2DModel`, which takes no tokens, has none."""
    return getattr(unet, "attn_processors", {})


def unfuse_adapter(unet: Any) -> None:
    """Let decoupled attention be computed by plain matrix products, which tracing follows.

    The layers stay the same objects, so that plans and weights of one form fit the other.
    """
    _replace(unet, IPAdapterAttnProcessor)


def fuse_adapter(unet: Any) -> None:
    """Undo `unfuse_adapter`: attention by torch's fused kernel."""
    _replace(unet, IPAdapterAttnProcessor2_0)


def _replace(unet: Any, kind: type[Any]) -> None:
    for attention in cross_attentions(unet).values():
        old = attention.processor
        if not isinstance(old, DECOUPLED) or isinstance(old, kind):
            continue
        with torch.device("meta"):
            new = kind(old.hidden_size, old.cross_attention_dim, list(old.num_tokens), [*old.scale])
        new.to_k_ip, new.to_v_ip = old.to_k_ip, old.to_v_ip
        attention.set_processor(new)


def adapter_parts(attention: Attention) -> list[str]:
    """List an attention's layers that read adapter tokens, by path; none where it is plain."""
    if not isinstance(attention.processor, DECOUPLED):
        return []
    return ["processor.to_k_ip.0", "processor.to_v_ip.0"]


def adapter_input(tokens: Tensor, adapter_tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Make the `encoder_hidden_states` of a U-Net with an adapter.

    Args:
        tokens: (N, T, D), of a prompt as a rule.
        adapter_tokens: (N, A, D).
    """
    return tokens, [adapter_tokens]
