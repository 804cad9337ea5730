"""Set the attention processors of a U-Net, whatever its kind of attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor, nn

from edgeswap_compress.conditioning.decoupled import (
    DECOUPLED,
    adapter_input,
    attention_processors,
    cross_attentions,
    fuse_adapter,
    install_adapter,
    unfuse_adapter,
)
from edgeswap_compress.conditioning.specs import AttentionSpec


class OneTokenProcessor:
    """Cross-attention to a single token: its value, whatever the queries are.

    The softmax over one score is 1, so that neither queries nor keys are computed.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Answer with the token's value at every place.

        Args:
            attn: the layer.
            hidden_states: (N, L, C).
            encoder_hidden_states: (N, 1, D), the token.
            attention_mask: not used.
            temb: not used.

        Returns:
            (N, L, C).
        """
        assert encoder_hidden_states is not None  # noqa: S101 put into cross-attention alone
        value = attn.to_out[0](attn.to_v(encoder_hidden_states))
        return value.expand(-1, hidden_states.shape[1], -1) / attn.rescale_output_factor


def install_attention(unet: Any, spec: AttentionSpec) -> None:
    """Put the processors of an attention kind into a U-Net, in place; plain ones stay.

    Args:
        unet: as diffusers builds it.
        spec: the kind; new layers of an adapter hold random values.
    """
    if spec.kind == "decoupled":
        install_adapter(unet, tokens=spec.tokens, scale=spec.scale)
    elif spec.kind == "one_token":
        read_one_token(unet)


def read_one_token(unet: Any) -> None:
    """Let cross-attention read one token, in place.

    Queries and keys, and the norm before them, change nothing any more and are taken out.
    """
    for path, attention in cross_attentions(unet).items():
        attention.set_processor(OneTokenProcessor())
        attention.to_q = attention.to_k = None
        block = unet.get_submodule(path.rpartition(".")[0])
        block.norm2 = nn.Identity()


def install_like(unet: Any, other: Any) -> None:
    """Give a U-Net as diffusers builds it the kind of attention that another one has, in place."""
    for processor in attention_processors(other).values():
        if isinstance(processor, DECOUPLED):
            tokens, scale = processor.num_tokens[0], processor.scale[0]
            install_adapter(unet, tokens=tokens, scale=scale)
            return
        if isinstance(processor, OneTokenProcessor):
            read_one_token(unet)
            return


def with_adapter_tokens(unet: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Put adapter tokens to a U-Net's example inputs, and leave one token where it reads one.

    Args:
        unet: with its attention processors.
        inputs: keyword arguments of its forward, for plain attention.
    """
    given = dict(inputs)
    tokens: Any = given.get("encoder_hidden_states")
    for processor in attention_processors(unet).values():
        if isinstance(processor, DECOUPLED):
            count, like = processor.num_tokens[0], tokens[:, :1]
            adapter = torch.randn_like(like.expand(-1, count, -1))
            given["encoder_hidden_states"] = adapter_input(tokens, adapter)
            break
        if isinstance(processor, OneTokenProcessor):
            given["encoder_hidden_states"] = tokens[:, :1]
            break
    return given


def use_plain_attention(unet: Any) -> None:
    """Compute attention by plain matrix products: faster than fused at small sizes; traceable."""
    unfuse_adapter(unet)
    _replace_plain(unet, AttnProcessor)


def use_fused_attention(unet: Any) -> None:
    """Compute attention by torch's fused kernel."""
    fuse_adapter(unet)
    _replace_plain(unet, AttnProcessor2_0)


def _replace_plain(unet: Any, kind: type[Any]) -> None:
    """Replace the processors that have no layers of their own."""
    for module in unet.modules():
        kept = (*DECOUPLED, OneTokenProcessor)
        if isinstance(module, Attention) and not isinstance(module.processor, kept):
            module.set_processor(kind())
