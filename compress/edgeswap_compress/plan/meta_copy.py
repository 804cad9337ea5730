"""Copy a U-Net without weights to the meta device, for tracing and counting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import nn

from edgeswap_compress._pruning_errors import UnsupportedModel
from edgeswap_compress.conditioning.attention import install_like, use_plain_attention
from edgeswap_compress.diffusers_folder.building import public_config
from edgeswap_compress.diffusers_folder.unet_kinds import SUPPORTED_BLOCKS, block_message

# Parts that an otherwise supported block may hold, where tracing would not see what meets what.
REFUSED_PARTS = frozenset(
    {"DualTransformer2DModel", "GatedSelfAttentionDense", "ResnetBlockCondNorm2D"}
)


def meta_copy(unet: nn.Module) -> nn.Module:
    """Copy a U-Net without weights to the meta device, with plain attention processors.

    Tracing needs plain ones: fused attention hides from autograd which channels meet. The meta
    spares the original: its processors stay, and no memory is needed whatever its size.

    Raises:
        UnsupportedModel: not a supported diffusers U-Net, or its weights no longer have the
            shapes of its config (it has been pruned before).
    """
    if not isinstance(unet, UNet2DConditionModel | UNet2DModel):
        raise UnsupportedModel(
            f"{type(unet).__name__} cannot be pruned: expected a diffusers UNet2DConditionModel "
            "or UNet2DModel"
        )
    for name, block in _blocks(unet):
        if type(block).__name__ not in SUPPORTED_BLOCKS:
            raise UnsupportedModel(block_message(name, type(block).__name__))
    for name, module in unet.named_modules():
        if type(module).__name__ in REFUSED_PARTS:
            raise UnsupportedModel(f"{name} is a {type(module).__name__}, which cannot be pruned")
    meta = empty_original(unet)
    expected = {name: tensor.shape for name, tensor in meta.state_dict().items()}
    for name, tensor in unet.state_dict().items():
        if expected.get(name) != tensor.shape:
            raise UnsupportedModel(
                f"{name} has shape {tuple(tensor.shape)}, its config says "
                f"{tuple(expected.get(name, ()))}: expected a U-Net that has not been pruned"
            )
    use_plain_attention(meta)
    return meta.eval()


def empty_original(unet: nn.Module) -> Any:
    """Build a U-Net's original shape, before any pruning, on the meta device."""
    with torch.device("meta"):
        kind: Any = type(unet)
        config: Any = unet.config
        empty = kind.from_config(public_config(config))
        install_like(empty, unet)
        return empty


def _blocks(unet: Any) -> Iterator[tuple[str, nn.Module]]:
    for side in ("down_blocks", "up_blocks"):
        for index, block in enumerate(getattr(unet, side)):
            yield f"{side}.{index}", block
    if unet.mid_block is not None:
        yield "mid_block", unet.mid_block
