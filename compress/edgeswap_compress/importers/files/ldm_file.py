"""Read U-Net and autoencoder out of one file of latent diffusion's code (`.ckpt`, safetensors)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line
from edgeswap_compress.importers.errors import DoesNotFit, UnreadableWeights
from edgeswap_compress.importers.files.ldm_names import ldm_names, ldm_vae_name
from edgeswap_compress.importers.files.tensor_files import below

UNET = "model.diffusion_model."
VAE = "first_stage_model."
HEAD_WIDTH = 64
"""Of Stable Diffusion 2's and XL's attention heads; Stable Diffusion 1 has a number of them."""


def read_ldm_unet(path: Path, tensors: Mapping[str, Tensor], *, heads: int | None = None) -> Any:
    """Build the U-Net of a single file, its config inferred from the tensors' names and shapes.

    Args:
        path: of the file, for messages.
        tensors: all of its tensors.
        heads: attention heads of each layer; None takes 8, or heads 64 channels wide where the
            projections are matrices (Stable Diffusion 2 and XL), which the file does not tell.

    Raises:
        UnreadableWeights: it holds no such U-Net.
    """
    given = below(tensors, UNET)
    if "input_blocks.0.0.weight" not in given:
        found = f"{len(tensors)} tensors without it"
        raise UnreadableWeights(path, expected=f"a U-Net under {UNET}", found=found)
    return _filled(path, UNet2DConditionModel, unet_config(given, heads), given, ldm_names)


def read_ldm_vae(path: Path, tensors: Mapping[str, Tensor], scaling_factor: float) -> Any:
    """Build the autoencoder of a single file.

    Args:
        path: of the file, for messages.
        tensors: all of its tensors.
        scaling_factor: of its latents, 0.18215 for Stable Diffusion 1 and 2, 0.13025 for XL.

    Raises:
        UnreadableWeights: it holds no such autoencoder.
    """
    given = below(tensors, VAE)
    if "encoder.conv_in.weight" not in given:
        found = f"{len(tensors)} tensors without it"
        raise UnreadableWeights(path, expected=f"an autoencoder under {VAE}", found=found)
    config = vae_config(given) | {"scaling_factor": scaling_factor}

    def names(vae: Any) -> dict[str, str]:
        levels = len(vae.config.block_out_channels)
        owners = {key.rpartition(".")[0] for key in vae.state_dict()}
        return {path: ldm_vae_name(path, levels) for path in owners}

    return _filled(path, AutoencoderKL, config, given, names)


def unet_config(given: Mapping[str, Tensor], heads: int | None) -> dict[str, Any]:
    """Infer a U-Net's config from its tensors, by their names in latent diffusion's code."""
    levels = _levels(given)
    widths = [level[0] for level in levels]
    crossed = [level[2] for level in levels]
    keys = [n for n in given if n.endswith("attn2.to_k.weight")]
    projection = next((t for n, t in given.items() if n.endswith("proj_in.weight")), None)
    linear = projection is not None and projection.ndim == 2
    label = given.get("label_emb.0.0.weight")
    by_width = linear and heads is None
    middle = _transformers(given, "middle_block.1.")
    added = {} if label is None else {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": label.shape[1],
    }  # fmt: skip
    return {
        "sample_size": 64,
        "in_channels": given["input_blocks.0.0.weight"].shape[1],
        "out_channels": given["out.2.weight"].shape[0],
        "block_out_channels": widths,
        "layers_per_block": levels[0][1],
        "down_block_types": ["CrossAttnDownBlock2D" if c else "DownBlock2D" for c in crossed],
        "up_block_types": ["CrossAttnUpBlock2D" if c else "UpBlock2D" for c in reversed(crossed)],
        "transformer_layers_per_block": [depth or middle or 1 for depth in crossed],
        "cross_attention_dim": given[keys[0]].shape[1] if keys else 1280,
        "attention_head_dim": [w // HEAD_WIDTH or 1 for w in widths] if by_width else heads or 8,
        "use_linear_projection": linear,
        **added,
    }


def _levels(given: Mapping[str, Tensor]) -> list[tuple[int, int, int]]:
    """(width, residual layers, transformer blocks of each attention) of each level, downwards."""
    found: list[tuple[int, int, int]] = []
    width = layers = depth = 0
    count = 1 + max(int(m[1]) for n in given if (m := re.match(r"input_blocks\.(\d+)\.", n)))
    for index in range(1, count):
        convolution = given.get(f"input_blocks.{index}.0.out_layers.3.weight")
        if convolution is None:  # the level's downsampling
            found.append((width, layers, depth))
            layers = depth = 0
        else:
            width, layers = convolution.shape[0], layers + 1
            depth = _transformers(given, f"input_blocks.{index}.1.")
    return [*found, (width, layers, depth)]


def _transformers(given: Mapping[str, Tensor], prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"transformer_blocks\.(\d+)\.")
    return len({m[1] for name in given if (m := pattern.match(name))})


def vae_config(given: Mapping[str, Tensor]) -> dict[str, Any]:
    """Infer an AutoencoderKL's config from its tensors, by latent diffusion's names."""
    pattern = re.compile(r"encoder\.down\.(\d+)\.block\.(\d+)\.conv2\.weight")
    blocks = {(int(m[1]), int(m[2])): t for n, t in given.items() if (m := pattern.match(n))}
    levels = 1 + max(level for level, _ in blocks)
    return {
        "in_channels": given["encoder.conv_in.weight"].shape[1],
        "out_channels": given["decoder.conv_out.weight"].shape[0],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": [blocks[level, 0].shape[0] for level in range(levels)],
        "layers_per_block": sum(level == 0 for level, _ in blocks),
        "latent_channels": given["decoder.conv_in.weight"].shape[1],
        "sample_size": 512,
    }


def _filled(
    path: Path, kind: Any, config: dict[str, Any], given: Mapping[str, Tensor], names: Any
) -> Any:
    """Build a module and fill in tensors, every one of which must have its place."""
    what = kind.__name__
    try:
        with torch.device("meta"):
            module = kind.from_config(config)
        theirs = names(module)
    except BUILD_ERRORS as error:
        found = first_line(error)
        raise UnreadableWeights(path, expected=f"a {what} of a known form", found=found) from error
    state, used = {}, set()
    for key, blank in module.state_dict().items():
        owner, _, parameter = key.rpartition(".")
        name = f"{theirs[owner]}.{parameter}"
        tensor = given.get(name)
        if tensor is None or tensor.numel() != blank.numel():
            found = "none" if tensor is None else f"shape {tuple(tensor.shape)}"
            raise DoesNotFit(
                path,
                expected=f"{name} of {tuple(blank.shape)}",
                found=found,
                remedy=f"this {what} is of a form that cannot be read from one file",
            )
        state[key] = tensor.reshape(blank.shape)
        used.add(name)
    if stray := sorted(set(given) - used):
        raise UnreadableWeights(path, expected=f"the tensors of a {what}", found=stray[0])
    module.load_state_dict(state, assign=True)
    return module.eval()
