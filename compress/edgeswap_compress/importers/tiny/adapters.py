"""Write tiny adapter files: IP-Adapter FaceID and its kin, InstantID's, and LoRA in three forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from edgeswap_compress.conditioning.decoupled import cross_attentions

EMBEDDING = 512
FEATURES = 48
"""Width of the tiny image encoder's states."""

Random = torch.Generator


def _matrix(random: Random, rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=random) / columns**0.5


def _bias(random: Random, size: int) -> Tensor:
    return 0.1 * torch.randn(size, generator=random)


def _linear(random: Random, name: str, rows: int, columns: int) -> dict[str, Tensor]:
    return {f"{name}.weight": _matrix(random, rows, columns), f"{name}.bias": _bias(random, rows)}


def _norm(random: Random, name: str, size: int) -> dict[str, Tensor]:
    return {f"{name}.weight": 1 + _bias(random, size), f"{name}.bias": _bias(random, size)}


def _resampler(random: Random, given: int, inner: int, width: int, depth: int) -> dict[str, Tensor]:
    """The layers of a Perceiver, by the names that IP-Adapter and InstantID give them."""
    inside = 64 * (inner // 64)
    found = _linear(random, "proj_in", inner, given) | _linear(random, "proj_out", width, inner)
    found |= _norm(random, "norm_out", width)
    for index in range(depth):
        attention, forward = f"layers.{index}.0", f"layers.{index}.1"
        found |= _norm(random, f"{attention}.norm1", inner)
        found |= _norm(random, f"{attention}.norm2", inner)
        found[f"{attention}.to_q.weight"] = _matrix(random, inside, inner)
        found[f"{attention}.to_kv.weight"] = _matrix(random, 2 * inside, inner)
        found[f"{attention}.to_out.weight"] = _matrix(random, inner, inside)
        found |= _norm(random, f"{forward}.0", inner)
        found[f"{forward}.1.weight"] = _matrix(random, 4 * inner, inner)
        found[f"{forward}.3.weight"] = _matrix(random, inner, 4 * inner)
    return found


def image_projection(kind: str, random: Random, width: int, tokens: int) -> dict[str, Tensor]:
    """Make the entry `image_proj` of an adapter file.

    Args:
        kind: "plain", "faceid", "faceid_plus", "plus_face" or "instantid".
        random: of the weights.
        width: of the U-Net's cross-attention.
        tokens: how many the adapter gives.
    """
    if kind == "plain":
        found = _linear(random, "proj", tokens * width, FEATURES)
        return found | _norm(random, "norm", width)
    if kind in ("faceid", "faceid_plus"):
        found = _linear(random, "proj.0", 2 * EMBEDDING, EMBEDDING)
        found |= _linear(random, "proj.2", tokens * width, 2 * EMBEDDING)
        found |= _norm(random, "norm", width)
        if kind == "faceid_plus":
            inner = _resampler(random, FEATURES, width, width, 4)
            found |= {f"perceiver_resampler.{name}": value for name, value in inner.items()}
        return found
    given = FEATURES if kind == "plus_face" else EMBEDDING
    latents = torch.randn(1, tokens, 128, generator=random)
    return {"latents": latents} | _resampler(random, given, 128, width, 4)


def tiny_adapter(
    file: Path,
    unet: Any,
    kind: str = "faceid",
    *,
    tokens: int = 4,
    lora_rank: int = 0,
    seed: int = 1,
) -> Path:
    """Write an adapter file that fits a U-Net: a nested pickle, or safetensors by the ending.

    Args:
        file: to write.
        unet: whose attention layers are counted.
        kind: see `image_projection`.
        tokens: how many the adapter gives.
        lora_rank: of the low-rank layers inside the file, which FaceID's files have; 0 for none.
        seed: of the weights.
    """
    random = torch.Generator().manual_seed(seed)
    first = next(iter(cross_attentions(unet).values()))
    width = first.to_k.weight.shape[1]
    layers: dict[str, Tensor] = {}
    modules = dict(unet.named_modules())
    for index, name in enumerate(unet.attn_processors):
        attention = modules[name.removesuffix(".processor")]
        if name.endswith("attn2.processor"):
            for part, layer in (("to_k_ip", attention.to_k), ("to_v_ip", attention.to_v)):
                layers[f"{index}.{part}.weight"] = _matrix(random, *layer.weight.shape)
        if lora_rank:
            for part in ("to_q", "to_k", "to_v", "to_out"):
                layer = attention.to_out[0] if part == "to_out" else getattr(attention, part)
                rows, columns = layer.weight.shape
                layers[f"{index}.{part}_lora.down.weight"] = _matrix(random, lora_rank, columns)
                layers[f"{index}.{part}_lora.up.weight"] = 0.2 * _matrix(random, rows, lora_rank)
    nested = {"image_proj": image_projection(kind, random, width, tokens), "ip_adapter": layers}
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file(
            {f"{part}.{n}": t for part, all_ in nested.items() for n, t in all_.items()}, file
        )
    else:
        torch.save(nested, file)
    return file


def tiny_lora(file: Path, unet: Any, *, form: str = "kohya", rank: int = 4, seed: int = 5) -> Path:
    """Write a LoRA of every attention's matrices, and of one convolution.

    Args:
        file: safetensors to write.
        unet: whose layers it fits.
        form: "kohya" (as LCM-LoRA: names with underscores, and alphas), "peft" (lora_A, lora_B) or
            "diffusers" (the older processors' names).
        rank: of the layers.
        seed: of the weights.
    """
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, module in unet.named_modules():
        weight = getattr(module, "weight", None)
        attention = ".attn" in name and isinstance(module, torch.nn.Linear)
        convolution = name.endswith("resnets.0.conv1") and form != "diffusers"
        if weight is None or not (attention or convolution):
            continue
        rows, columns = weight.shape[:2]
        down, up = _matrix(random, rank, columns), 0.3 * _matrix(random, rows, rank)
        if convolution:
            down = torch.randn(rank, columns, 3, 3, generator=random) / (3 * columns**0.5)
            up = up[:, :, None, None]
        tensors |= _lora_names(form, name, down, up, alpha=rank / 2)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    return file


def _lora_names(form: str, name: str, down: Tensor, up: Tensor, alpha: float) -> dict[str, Tensor]:
    if form == "kohya":
        key = f"lora_unet_{name.replace('.', '_')}"
        return {
            f"{key}.lora_down.weight": down,
            f"{key}.lora_up.weight": up,
            f"{key}.alpha": torch.tensor(alpha),
        }
    if form == "peft":
        return {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    key = name.replace(".to_out.0", ".to_out")
    place, _, layer = key.rpartition(".")
    key = f"unet.{place}.processor.{layer}_lora"
    return {f"{key}.down.weight": down, f"{key}.up.weight": up}
