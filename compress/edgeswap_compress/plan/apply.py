"""Apply a plan: drop modules, cut layers, update the sizes that diffusers stores of them."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from edgeswap_compress.plan._check import check_plan
from edgeswap_compress.plan._sync_attributes import sync_attributes
from edgeswap_compress.plan.depth import drop
from edgeswap_compress.plan.layers import cut
from edgeswap_compress.plan.plan import PruningPlan

UNet = TypeVar("UNet", bound=nn.Module)


def apply_plan(unet: UNet, plan: PruningPlan) -> UNet:
    """Apply a plan: give a U-Net its pruned shapes, and keep the weights that stay.

    Args:
        unet: a `UNet2DConditionModel` or `UNet2DModel` in its original shape, on any device, the
            meta device included. It is changed in place; its `config` stays the original one,
            and what stays keeps its name.
        plan: made for this architecture.

    Returns:
        The same `unet`.

    Raises:
        BadPlan: the plan does not fit; the message names the layer and the U-Net is untouched.
        UnsupportedModel: the plan names a layer of a kind that cannot be cut; likewise untouched.
    """
    check_plan(unet, plan)
    drop(unet, plan.dropped)
    for name, kept in plan.layers.items():
        layer = unet.get_submodule(name)
        if kept.out is not None:
            cut(name, layer, "out", kept.out.kept)
        if kept.inp is not None:
            cut(name, layer, "in", kept.inp.kept)
    for name, groups in plan.groups.items():
        norm = unet.get_submodule(name)
        if isinstance(norm, nn.GroupNorm):
            norm.num_groups = groups
    sync_attributes(unet, {name: len(heads) for name, heads in plan.heads.items()})
    return unet
