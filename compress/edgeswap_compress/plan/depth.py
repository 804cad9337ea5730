"""Drop whole modules of a U-Net, and put what stays in their place."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeVar

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from edgeswap_compress.plan.plan import DropKind

Module = TypeVar("Module", bound=nn.Module)


class ResnetShortcut(nn.Module):
    """A resnet without its residual branch: (N, C, H, W) -> (N, C', H', W').

    Its shortcut convolution, under the name it had, and its resampling stay where it had them.
    """

    def __init__(self, resnet: ResnetBlock2D) -> None:
        super().__init__()
        self.conv_shortcut = resnet.conv_shortcut
        self.output_scale_factor = resnet.output_scale_factor
        self.resample: nn.Module | None = None
        if resnet.upsample is not None:
            self.resample = nn.Upsample(scale_factor=2.0, mode="nearest")
        elif resnet.downsample is not None:
            self.resample = nn.AvgPool2d(2)

    def forward(self, input_tensor: Tensor, temb: Tensor | None = None, *_: Any) -> Tensor:
        """Return the input, resampled and projected; the time embedding is not used."""
        if self.resample is not None:
            input_tensor = self.resample(input_tensor)
        if self.conv_shortcut is not None:
            input_tensor = self.conv_shortcut(input_tensor)
        return _scaled(input_tensor, self.output_scale_factor)


class Shortcut(nn.Module):
    """A transformer block or a residual attention without its branch: returns its input."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.output_scale_factor = scale

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return the input; conditioning and masks are not used."""
        return _scaled(hidden_states, self.output_scale_factor)


class TransformerShortcut(nn.Module):
    """A transformer without its branch: returns its input, wrapped like a transformer's output."""

    def forward(
        self, hidden_states: Tensor, *_: Any, return_dict: bool = True, **__: Any
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Return the input; conditioning and masks are not used."""
        return Transformer2DModelOutput(sample=hidden_states) if return_dict else (hidden_states,)


def _scaled(values: Tensor, scale: float) -> Tensor:
    """What diffusers divides the sum of shortcut and branch by also applies to the shortcut."""
    return values if scale == 1.0 else values / scale


def drop_kind(module: nn.Module) -> DropKind | None:
    """Tell how a module can be dropped on its own; None where it cannot."""
    if isinstance(module, ResnetBlock2D):
        resamples = module.upsample is not None or module.downsample is not None
        return "shortcut" if resamples or module.conv_shortcut is not None else "identity"
    if isinstance(module, Attention):
        return "identity" if module.residual_connection else None
    if isinstance(module, Transformer2DModel):
        return "identity" if module.is_input_continuous else None
    return "identity" if isinstance(module, BasicTransformerBlock) else None


def drop(unet: nn.Module, dropped: Mapping[str, DropKind]) -> None:
    """Drop modules of a U-Net, in place; every other module keeps its name.

    Args:
        unet: in its original depth.
        dropped: name -> kind; `check_drops` has found nothing wrong with it.
    """
    for name, kind in dropped.items():
        parent, _, child = name.rpartition(".")
        holder = unet.get_submodule(parent)
        if kind != "layer":
            setattr(holder, child, _stand_in(holder.get_submodule(child)))
            continue
        delattr(holder, child)  # unlike `del`, this leaves the numbers of the other resnets alone
        block = unet.get_submodule(parent.rpartition(".")[0])
        attentions = getattr(block, "attentions", None)
        if attentions is not None:
            delattr(attentions, child)


def _stand_in(module: nn.Module) -> nn.Module:
    if isinstance(module, ResnetBlock2D):
        return ResnetShortcut(module)
    if isinstance(module, Transformer2DModel):
        return TransformerShortcut()
    return Shortcut(module.rescale_output_factor if isinstance(module, Attention) else 1.0)


def without(unet: Module, dropped: Mapping[str, DropKind]) -> Module:
    """Copy a U-Net without the dropped modules; the copy shares the original's tensors."""
    tensors: dict[int, torch.Tensor] = {id(tensor): tensor for tensor in unet.parameters()}
    tensors |= {id(tensor): tensor for tensor in unet.buffers()}
    copy = deepcopy(unet, tensors)
    drop(copy, dropped)
    return copy
