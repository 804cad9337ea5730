"""Read an adapter's own file: `image_proj` and `ip_adapter`, and the LoRA that may lie in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgeswap_compress.conditioning.decoupled import cross_attentions, install_adapter
from edgeswap_compress.conditioning.projections import HEAD_WIDTH, TokenProjection
from edgeswap_compress.importers.errors import DoesNotFit, UnreadableWeights
from edgeswap_compress.importers.files.lora import LowRankUpdate, read_updates
from edgeswap_compress.importers.files.tensor_files import below, read_tensors

_BLOCK = re.compile(r"^layers\.(\d+)\.(0|1)\.(.+)$")
_INSIDE = {
    "norm1": "ln0",
    "norm2": "ln1",
    "to_q": "attn.to_q",
    "to_out": "attn.to_out.0",
    "0": "ff.0",
    "1": "ff.1.net.0.proj",
    "3": "ff.1.net.2",
}
_FORMS = {"proj.0": "{first}.net.0.proj", "proj.2": "{first}.net.2", "proj": "image_embeds"}


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """What an adapter's file holds.

    Attributes:
        path: of the file.
        projection: embedding or features to tokens.
        keys, values: weights (inner, D) of every cross-attention, in the U-Net's order.
        low_rank: tensors of the LoRA inside, by the number of the attention layer.
    """

    path: Path
    projection: TokenProjection
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    low_rank: Mapping[str, Tensor]


def read_adapter(path: Path, *, shortcut: bool = True) -> AdapterFile:
    """Read an adapter file, and find out from its tensors which kind it is.

    Args:
        path: nested pickle (`.bin`) or safetensors.
        shortcut: whether FaceID Plus adds its shortcut (v2 does; the file does not tell).

    Raises:
        UnreadableWeights: no adapter, or one of a kind that is not known.
    """
    tensors = read_tensors(path)
    parts = below(tensors, "image_proj."), below(tensors, "ip_adapter.")
    if not all(parts):
        found = f"{len(tensors)} tensors without them"
        raise UnreadableWeights(path, expected="entries image_proj and ip_adapter", found=found)
    projection = read_projection(path, parts[0], shortcut=shortcut)
    numbered: dict[str, dict[int, Tensor]] = {"to_k_ip": {}, "to_v_ip": {}}
    low_rank: dict[str, Tensor] = {}
    for name, tensor in parts[1].items():
        number, _, rest = name.partition(".")
        layer = rest.removesuffix(".weight")
        if layer in numbered and number.isdecimal():
            numbered[layer][int(number)] = tensor
        elif "_lora." in rest and number.isdecimal():
            low_rank[name] = tensor
        else:
            expected = "to_k_ip, to_v_ip and LoRA layers"
            raise UnreadableWeights(path, expected=expected, found=f"ip_adapter.{name}")
    keys, values = (tuple(t for _, t in sorted(each.items())) for each in numbered.values())
    if not keys or [k.shape for k in keys] != [v.shape for v in values]:
        found = f"{len(keys)} and {len(values)}"
        raise UnreadableWeights(path, expected="as many to_k_ip as to_v_ip", found=found)
    return AdapterFile(path, projection, keys, values, low_rank)


def check_backbone(adapter: AdapterFile, unet: Any, *, what: str) -> None:
    """Make sure that an adapter was made for a U-Net of this form.

    Args:
        adapter: read from its file.
        unet: may lie on the meta device.
        what: how to call the U-Net in the message.

    Raises:
        DoesNotFit: it has other cross-attention layers.
    """
    layers = cross_attentions(unet).values()
    needed = [tuple(attention.to_k.weight.shape) for attention in layers]
    found = [tuple(key.shape) for key in adapter.keys]
    given = adapter.projection.config.width
    if needed == found and needed and needed[0][1] == given:
        return
    raise DoesNotFit(
        adapter.path,
        expected=f"an adapter for {_form(needed)} ({what})",
        found=f"one for {_form(found)}",
        remedy="name the adapter that was made for this base model",
    )


def _form(shapes: list[tuple[int, ...]]) -> str:
    widths = sorted({shape[1] for shape in shapes})
    names = {768: ", as Stable Diffusion 1 has", 1024: ", as Stable Diffusion 2 has",
             2048: ", as Stable Diffusion XL has"}  # fmt: skip
    hint = names.get(widths[0], "") if len(widths) == 1 else ""
    return f"{len(shapes)} cross-attention layers of width {'/'.join(map(str, widths))}{hint}"


def low_rank_updates(adapter: AdapterFile, unet: Any, scale: float) -> list[LowRankUpdate]:
    """Match the LoRA inside an adapter's file with a U-Net's layers.

    Raises:
        DoesNotFit: a layer is missing, or has another shape.
    """
    names = [name.removesuffix(".processor") for name in unet.attn_processors]
    tensors = {}
    for key, tensor in adapter.low_rank.items():
        number, _, rest = key.partition(".")
        if int(number) >= len(names):
            raise DoesNotFit(
                adapter.path,
                expected=f"{len(names)} attention layers",
                found=f"a LoRA of layer {number}",
                remedy="name the adapter that was made for this base model",
            )
        tensors[f"{names[int(number)]}.processor.{rest}"] = tensor
    return read_updates(adapter.path, tensors, unet, scale)


@torch.no_grad()
def put_adapter(adapter: AdapterFile, unet: Any, scale: float) -> None:
    """Decouple a U-Net's cross-attention and fill in the adapter's weights, in place."""
    install_adapter(unet, tokens=int(adapter.projection.config.tokens), scale=scale)
    layers = cross_attentions(unet).values()
    for attention, key, value in zip(layers, adapter.keys, adapter.values, strict=True):
        attention.processor.to_k_ip[0].weight.copy_(key)
        attention.processor.to_v_ip[0].weight.copy_(value)


def read_projection(
    path: Path, tensors: Mapping[str, Tensor], *, shortcut: bool
) -> TokenProjection:
    """Build the projection whose weights an adapter's `image_proj` holds.

    Raises:
        UnreadableWeights: of a kind that is not known.
    """
    config = _projection_config(path, tensors, shortcut)
    with torch.device("meta"):
        module = TokenProjection(**config)
    state = dict(_renamed(tensors, config["kind"]))
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if expected != found:
        odd = sorted(set(expected.items()) ^ set(found.items()))[0]
        raise UnreadableWeights(
            path, expected=f"the layers of a {config['kind']} projection", found=f"image_proj {odd}"
        )
    module.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
    return module.eval()


def _projection_config(path: Path, tensors: Mapping[str, Tensor], shortcut: bool) -> dict[str, Any]:
    def shape(name: str) -> tuple[int, ...]:
        return tuple(tensors[name].shape)

    try:
        if "perceiver_resampler.proj_in.weight" in tensors:
            width = shape("norm.weight")[0]
            return {
                "kind": "faceid_plus",
                "input_size": shape("proj.0.weight")[1],
                "features_size": shape("perceiver_resampler.proj_in.weight")[1],
                "tokens": shape("proj.2.weight")[0] // width,
                "width": width,
                "inner": shape("proj.0.weight")[0],
                "shortcut": shortcut,
                **_resampler_size(tensors, "perceiver_resampler."),
            }
        if "proj.weight" in tensors or "proj.2.weight" in tensors:
            plain, width = "proj.weight" in tensors, shape("norm.weight")[0]
            last = "proj.weight" if plain else "proj.2.weight"
            return {
                "kind": "linear" if plain else "faceid",
                "input_size": shape("proj.weight" if plain else "proj.0.weight")[1],
                "tokens": shape(last)[0] // width,
                "width": width,
                "inner": 0 if plain else shape("proj.0.weight")[0],
            }
        return {
            "kind": "resampler",
            "input_size": shape("proj_in.weight")[1],
            "tokens": shape("latents")[1],
            "width": shape("proj_out.weight")[0],
            "inner": shape("proj_in.weight")[0],
            **_resampler_size(tensors, ""),
        }
    except (KeyError, IndexError) as error:
        known = "IP-Adapter, FaceID, FaceID Plus, Plus or InstantID"
        found = f"image_proj with {', '.join(sorted(tensors)[:3])}, ..."
        raise UnreadableWeights(path, expected=f"an adapter of {known}", found=found) from error


def _resampler_size(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, int]:
    numbers = {int(m[1]) for name in below(tensors, prefix) if (m := _BLOCK.match(name))}
    inside = tensors[f"{prefix}layers.0.0.to_q.weight"].shape[0]
    return {"depth": len(numbers), "heads": inside // HEAD_WIDTH}


def _renamed(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Write the names of IP-Adapter's own code as those of diffusers' layers."""
    found: dict[str, Tensor] = {}
    first = "proj" if kind == "faceid_plus" else "ff"
    for name, tensor in tensors.items():
        plain = name.removeprefix("perceiver_resampler.")
        module, _, parameter = plain.rpartition(".")
        block = _BLOCK.match(plain)
        if block is not None:
            inner, _, end = block[3].rpartition(".")
            home = f"layers.{block[1]}"
            if inner == "to_kv":
                for part, half in zip(("to_k", "to_v"), tensor.chunk(2), strict=True):
                    found[f"{home}.attn.{part}.{end}"] = half
            else:
                found[f"{home}.{_INSIDE.get(inner, inner)}.{end}"] = tensor
        elif module in _FORMS:
            found[f"{_FORMS[module].format(first=first)}.{parameter}"] = tensor
        else:
            found[plain] = tensor
    return found
