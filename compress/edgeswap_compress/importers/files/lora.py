"""Read LoRA files and add them to the weights they adapt (2106.09685)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeswap_compress.importers.errors import DoesNotFit, UnreadableWeights
from edgeswap_compress.importers.files.ldm_names import ldm_names

TEXT_ENCODERS = ("lora_te_", "lora_te1_", "lora_te2_", "text_encoder.", "text_encoder_2.")
_OTHERS = {"dora_scale": "DoRA", "hada_": "LoHa", "lokr_": "LoKr", "lora_mid": "LoCon with a core",
           "lora_magnitude": "DoRA"}  # fmt: skip
_PREFIXES = ("lora_unet_", "unet.", "base_model.model.", "diffusion_model.")
_PART = re.compile(
    r"^(?P<layer>.+?)[._](?:(?P<down>lora_down|lora_A|lora\.down|lora_linear_layer\.down)"
    r"|(?P<up>lora_up|lora_B|lora\.up|lora_linear_layer\.up))(?:\.default)?\.weight$"
    r"|^(?P<scaled>.+)\.alpha$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRankUpdate:
    """What is added to one weight: scale * up @ down.

    Attributes:
        layer: path of the module whose weight it adapts.
        down: (r, inputs) or, of a convolution, (r, inputs, h, w).
        up: (outputs, r) or (outputs, r, 1, 1).
        scale: alpha / r, times whatever the user asked for.
    """

    layer: str
    down: Tensor
    up: Tensor
    scale: float

    def matrix(self, weight: Tensor) -> Tensor:
        """Compute what is added to a weight, in float32 and of its shape."""
        flat = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return self.scale * flat.reshape(weight.shape)


def read_updates(
    path: Path, tensors: Mapping[str, Tensor], unet: Any, scale: float
) -> list[LowRankUpdate]:
    """Match a LoRA file's tensors with a U-Net's layers, in any of the usual forms of names.

    Args:
        path: of the file, for messages.
        tensors: its tensors, without those of text encoders.
        unet: that it adapts; may lie on the meta device.
        scale: factor of the whole, 1 for the strength it was made for.

    Raises:
        UnreadableWeights: another kind of adapter, or half of one.
        DoesNotFit: a layer is missing, or has another shape.
    """
    for part, name in _OTHERS.items():
        if any(part in key for key in tensors):
            found = f"{name}, which is not"
            raise UnreadableWeights(path, expected="a LoRA, fused by adding", found=found)
    layers = _layers(unet)
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _PART.match(_plain(key))
        if match is None:
            raise UnreadableWeights(path, expected="tensors of a LoRA", found=key)
        name = match["layer"] or match["scaled"]
        kind = "down" if match["down"] else "up" if match["up"] else "alpha"
        layer = layers.get(name)
        if layer is None:
            raise DoesNotFit(
                path,
                expected="layers of this U-Net",
                found=f"{key}, which it has not",
                remedy="name a LoRA made for this base model",
            )
        parts.setdefault(layer, {})[kind] = tensor
    return [_update(path, layer, part, unet, scale) for layer, part in sorted(parts.items())]


def _plain(key: str) -> str:
    """Cut the prefixes, and write the older processors' names as today's."""
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    key = re.sub(r"\.processor\.(to_\w+?)_lora\.", r".\1.lora.", key)
    return re.sub(r"\.to_out\.lora\.", ".to_out.0.lora.", key)


def _layers(unet: Any) -> dict[str, str]:
    """Every name that a LoRA may call a layer by -> the module's path."""
    paths = [p for p, m in unet.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    known = {path: path for path in paths} | {path.replace(".", "_"): path for path in paths}
    theirs = {path: name for path, name in ldm_names(unet).items() if path in set(paths)}
    for path, name in theirs.items():
        known.setdefault(name.replace(".", "_"), path)
        known.setdefault(name, path)
    return known


def _update(
    path: Path, layer: str, part: Mapping[str, Tensor], unet: Any, scale: float
) -> LowRankUpdate:
    weight = unet.get_submodule(layer).weight
    if "down" not in part or "up" not in part:
        raise UnreadableWeights(path, expected=f"both halves for {layer}", found="one")
    down, up = part["down"], part["up"]
    rank = down.shape[0]
    inner = (down[0].numel(), up.shape[0], up[0].numel())
    if inner != (weight[0].numel(), weight.shape[0], rank):
        raise DoesNotFit(
            path,
            expected=f"{layer} of {tuple(weight.shape)}",
            found=f"a LoRA of {tuple(up.shape)} and {tuple(down.shape)}",
            remedy="name a LoRA made for this base model",
        )
    alpha = float(part["alpha"]) if "alpha" in part else float(rank)
    return LowRankUpdate(layer=layer, down=down, up=up, scale=scale * alpha / rank)


@torch.no_grad()
def fuse_updates(module: nn.Module, updates: Iterable[LowRankUpdate]) -> int:
    """Add updates to a module's weights, in place; returns how many there were."""
    count = 0
    for update in updates:
        weight: Any = module.get_submodule(update.layer).weight
        weight.copy_((weight.float() + update.matrix(weight)).to(weight.dtype))
        count += 1
    return count
