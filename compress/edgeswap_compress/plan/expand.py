"""Undo a plan's shapes: put pruned weights back at their places in the original shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edgeswap_compress.plan.layers import WEIGHT_AXES, kind_of
from edgeswap_compress.plan.meta_copy import empty_original
from edgeswap_compress.plan.plan import LayerCut, PruningPlan


@torch.no_grad()
def expanded(unet: Any, plan: PruningPlan) -> Any:
    """Put a pruned U-Net's weights into its original shape, with zeros elsewhere.

    Applying the plan to it gives the pruned weights again, and so does every plan that removes
    more gives a part of them.

    Args:
        unet: pruned by `plan`; its config is the original one.
        plan: of that U-Net.
    """
    whole = empty_original(unet)
    nn.Module.to(whole.to_empty(device="cpu"), next(unet.parameters()).dtype)
    whole.load_state_dict(
        {name: torch.zeros_like(tensor) for name, tensor in whole.state_dict().items()}
    )
    # by module, because diffusers registers some convolutions under two names
    cuts = {id(whole.get_submodule(name)): cut for name, cut in plan.layers.items()}
    for name, tensor in unet.state_dict().items():
        layer, _, parameter = name.rpartition(".")
        module = whole.get_submodule(layer)
        whole_tensor = getattr(module, parameter)
        places = _places(module, layer, whole_tensor, parameter, cuts.get(id(module)))
        whole_tensor[torch.meshgrid(*places, indexing="ij")] = tensor.to(whole_tensor.device)
    processors = getattr(unet, "attn_processors", {})
    for name, processor in processors.items():
        whole.get_submodule(name.removesuffix(".processor")).set_processor(processor)
    return whole.eval()


def _places(
    layer: nn.Module, name: str, tensor: Tensor, parameter: str, cut: LayerCut | None
) -> list[Tensor]:
    """The indices along each axis of an original tensor that are kept."""
    found = [torch.arange(length) for length in tensor.shape]
    if cut is None:
        return found
    axes = WEIGHT_AXES[kind_of(name, layer)]
    if cut.out is not None:
        found[axes["out"] if parameter == "weight" else 0] = torch.tensor(cut.out.kept)
    if cut.inp is not None and parameter == "weight":
        found[axes["in"]] = torch.tensor(cut.inp.kept)
    return found
