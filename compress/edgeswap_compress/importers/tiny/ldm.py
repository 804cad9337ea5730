"""Write a tiny `.ckpt` of latent diffusion's code: Paint by Example's layout, and REFace's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgeswap_compress.importers.files.ldm_names import ldm_names, ldm_vae_name
from edgeswap_compress.importers.tiny.backbones import tiny_unet, tiny_vae

CLIP = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 5,
        "num_attention_heads": 1, "image_size": 224, "patch_size": 56,
        "projection_dim": 48}  # fmt: skip
"""Of the tiny image encoder; one attention head of 64 channels, as everywhere in CLIP."""


def ldm_state(unet: Any, vae: Any) -> dict[str, Tensor]:
    """Write the weights of a U-Net and an autoencoder under the names of latent diffusion."""
    state: dict[str, Tensor] = {}
    names = ldm_names(unet)
    for key, tensor in unet.state_dict().items():
        module, _, parameter = key.rpartition(".")
        state[f"model.diffusion_model.{names[module]}.{parameter}"] = tensor
    levels = len(vae.config.block_out_channels)
    for key, tensor in vae.state_dict().items():
        module, _, parameter = key.rpartition(".")
        name = ldm_vae_name(module, levels)
        matrix = tensor.ndim == 2  # the attention's layers are 1 x 1 convolutions there
        state[f"first_stage_model.{name}.{parameter}"] = (
            tensor[:, :, None, None] if matrix else tensor
        )
    return state


def _block(random: torch.Generator, width: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    shapes = {"attn.c_qkv": (3 * width, width), "attn.c_proj": (width, width),
              "mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}  # fmt: skip
    for name, (rows, columns) in shapes.items():
        matrix = torch.randn(rows, columns, generator=random) / columns**0.5
        found |= {
            f"{name}.weight": matrix,
            f"{name}.bias": 0.1 * torch.randn(rows, generator=random),
        }
    for name in ("ln_1", "ln_2"):
        found[f"{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=random)
        found[f"{name}.bias"] = 0.1 * torch.randn(width, generator=random)
    return found


def _mapper(random: torch.Generator, width: int, layers: int, names: tuple[str, str]) -> Any:
    mapper, norm = names
    found = {
        f"{mapper}.resblocks.{index}.{name}": tensor
        for index in range(layers)
        for name, tensor in _block(random, width).items()
    }
    found[f"{norm}.weight"] = 1 + 0.1 * torch.randn(width, generator=random)
    found[f"{norm}.bias"] = 0.1 * torch.randn(width, generator=random)
    return found


def _clip_state() -> tuple[dict[str, Tensor], Tensor]:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP))
    return dict(clip.vision_model.state_dict()), clip.visual_projection.weight.detach()


def tiny_ldm(file: Path, *, reface: bool = False, layers: int = 5, seed: int = 4) -> Path:
    """Write a checkpoint as `torch.save` writes a trainer's: `state_dict` and the trainer's state.

    Args:
        file: to write, with the ending .ckpt.
        reface: REFace's layout; else Paint by Example's.
        layers: of the mapper behind the image encoder.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, vae = tiny_unet(9), tiny_vae()
        vision, projection = _clip_state()
    random = torch.Generator().manual_seed(seed)
    state = ldm_state(unet, vae)
    width = int(unet.config.cross_attention_dim)
    home = (
        "cond_stage_model.model.vision_model"
        if reface
        else ("cond_stage_model.transformer.vision_model")
    )
    state |= {f"{home}.{name}": tensor for name, tensor in vision.items()}

    def linear(name: str, rows: int, columns: int) -> dict[str, Tensor]:
        matrix = torch.randn(rows, columns, generator=random) / columns**0.5
        return {f"{name}.weight": matrix, f"{name}.bias": 0.1 * torch.randn(rows, generator=random)}

    if reface:
        inner = projection.shape[0]
        state["cond_stage_model.model.visual_projection.weight"] = projection
        names = ("cond_stage_model.mapper2", "cond_stage_model.final_ln2")
        state |= _mapper(random, inner, layers, names)
        state |= linear("proj_out_source", width, inner) | linear("proj_out_target", width, inner)
        state |= linear("ID_proj_out", width, 512) | linear("landmark_proj_out", width, 136)
    else:
        inner = CLIP["hidden_size"]
        names = ("cond_stage_model.mapper", "cond_stage_model.final_ln")
        state |= _mapper(random, inner, layers, names) | linear("proj_out", width, inner)
    state["learnable_vector"] = torch.randn(1, 1, width, generator=random)
    state["betas"] = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    state["alphas_cumprod"] = torch.cumprod(1 - state["betas"], 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 1, "global_step": 10, "state_dict": state}, file)
    return file
