"""Cut layers: which kinds can be cut, where their axes lie, how wide they are."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from edgeswap_compress._pruning_errors import UnsupportedModel

AxisName = Literal["out", "in"]

# Position of each axis in the layer's weight; a norm has one axis, its channels, called "out".
WEIGHT_AXES: dict[type[nn.Module], dict[AxisName, int]] = {
    nn.Conv1d: {"out": 0, "in": 1},
    nn.Conv2d: {"out": 0, "in": 1},
    nn.ConvTranspose2d: {"out": 1, "in": 0},
    nn.Linear: {"out": 0, "in": 1},
    nn.Embedding: {"out": 1},
    nn.GroupNorm: {"out": 0},
    nn.LayerNorm: {"out": 0},
}

# The attribute that repeats each axis's length. nn.LayerNorm keeps a tuple instead.
_LENGTH_ATTRIBUTES: dict[type[nn.Module], dict[AxisName, str]] = {
    nn.Conv1d: {"out": "out_channels", "in": "in_channels"},
    nn.Conv2d: {"out": "out_channels", "in": "in_channels"},
    nn.ConvTranspose2d: {"out": "out_channels", "in": "in_channels"},
    nn.Linear: {"out": "out_features", "in": "in_features"},
    nn.Embedding: {"out": "embedding_dim"},
    nn.GroupNorm: {"out": "num_channels"},
}


def can_cut(layer: nn.Module) -> bool:
    """Tell whether a module is a layer that can be cut; blocks and activations are not."""
    return isinstance(layer, tuple(WEIGHT_AXES)) and getattr(layer, "groups", 1) == 1


def kind_of(name: str, layer: nn.Module) -> type[nn.Module]:
    """Find the entry of `WEIGHT_AXES` that a layer is.

    Raises:
        UnsupportedModel: no entry fits, or it is a grouped convolution.
    """
    kind = next((kind for kind in WEIGHT_AXES if isinstance(layer, kind)), None)
    if kind is None:
        raise UnsupportedModel(
            f"{name} is a {type(layer).__name__}; pruning cuts only "
            f"{', '.join(sorted(known.__name__ for known in WEIGHT_AXES))}"
        )
    if getattr(layer, "groups", 1) != 1:
        raise UnsupportedModel(
            f"{name} is a convolution in {layer.groups} groups; pruning cuts only ungrouped ones"
        )
    return kind


def width(name: str, layer: nn.Module, axis: AxisName) -> int | None:
    """Read the length of one axis of a layer; None where the layer has no such axis."""
    kind = kind_of(name, layer)
    if axis not in WEIGHT_AXES[kind]:
        return None
    if isinstance(layer, nn.LayerNorm):
        return int(layer.normalized_shape[-1])
    return int(getattr(layer, _LENGTH_ATTRIBUTES[kind][axis]))


def cut(name: str, layer: nn.Module, axis: AxisName, kept: tuple[int, ...]) -> None:
    """Keep the given indices of one axis: weight, bias and the layer's stored sizes.

    The bias (one value for each output channel) goes with the "out" axis. Works on the meta device.
    """
    kind = kind_of(name, layer)
    _keep(layer, "weight", WEIGHT_AXES[kind][axis], kept)
    if axis == "out":
        _keep(layer, "bias", 0, kept)
    if isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = (*layer.normalized_shape[:-1], len(kept))
    else:
        setattr(layer, _LENGTH_ATTRIBUTES[kind][axis], len(kept))


def _keep(layer: nn.Module, parameter_name: str, dim: int, kept: tuple[int, ...]) -> None:
    parameter = getattr(layer, parameter_name, None)
    if parameter is None:
        return
    index = torch.tensor(kept, dtype=torch.long, device=parameter.device)
    values = parameter.detach().index_select(dim, index)
    setattr(layer, parameter_name, nn.Parameter(values, requires_grad=parameter.requires_grad))
