"""Make example inputs for any supported U-Net from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from edgeswap_compress._pruning_errors import UnsupportedModel
from edgeswap_compress.diffusers_folder.config import token_widths
from edgeswap_compress.diffusers_folder.unet_kinds import (
    TEXT_TIME_SIZES,
    sample_sides,
    unsupported_family,
)

DEFAULT_TOKENS = 77  # of CLIP's text encoder, which the Stable Diffusion family conditions on


def example_inputs(
    config: Mapping[str, Any],
    *,
    tokens: int = DEFAULT_TOKENS,
    batch: int = 1,
    device: torch.device | str = "meta",
) -> dict[str, Any]:
    """Make the keyword arguments for one forward pass of a U-Net.

    Args:
        config: of a `UNet2DConditionModel` or `UNet2DModel`. Where it states no sample size, 64.
        tokens: length of the cross-attention sequence, which no config states.
        batch: number of samples.
        device: of the tensors; on the meta device they have no values, elsewhere they are
            standard normal, unseeded, and integers are zero or one.

    Raises:
        UnsupportedModel: the config asks for a kind of conditioning that is not known here.
    """
    if (unsupported := unsupported_family(config)) is not None:
        raise UnsupportedModel(unsupported)
    height, width = sample_sides(config)
    with torch.device(device):
        inputs: dict[str, Any] = {
            "sample": torch.randn(batch, config["in_channels"], height, width),
            "timestep": torch.ones(batch, dtype=timestep_dtype(config)),
        }
        labels = _class_labels(config, batch)
        if labels is not None:
            inputs["class_labels"] = labels
        if "cross_attention_dim" in config:  # UNet2DConditionModel
            inputs["encoder_hidden_states"] = torch.randn(batch, tokens, _token_width(config))
            if (guidance := config.get("time_cond_proj_dim")) is not None:
                inputs["timestep_cond"] = torch.randn(batch, guidance)
            added = _added_conditions(config, batch)
            if added:
                inputs["added_cond_kwargs"] = added
    return inputs


def _class_labels(config: Mapping[str, Any], batch: int) -> torch.Tensor | None:
    kind = config.get("class_embed_type")
    if kind is None:
        if config.get("num_class_embeds") is None:
            return None
        return torch.zeros(batch, dtype=torch.long)
    if kind == "timestep":
        return torch.zeros(batch)
    if kind == "identity":
        time_width = config.get("time_embedding_dim") or config["block_out_channels"][0] * 4
        return torch.randn(batch, time_width)
    if kind in ("projection", "simple_projection"):
        return torch.randn(batch, config["projection_class_embeddings_input_dim"])
    return None


def _token_width(config: Mapping[str, Any]) -> int:
    if config.get("encoder_hid_dim") is not None:
        return int(config["encoder_hid_dim"])
    return token_widths(config)[0] if token_widths(config) else 1


def _added_conditions(config: Mapping[str, Any], batch: int) -> dict[str, torch.Tensor]:
    kind = config.get("addition_embed_type")
    if kind == "text_time":  # Stable Diffusion XL: six sizes and offsets beside the pooled text
        sizes = TEXT_TIME_SIZES
        pooled = (
            config["projection_class_embeddings_input_dim"]
            - sizes * config["addition_time_embed_dim"]
        )
        return {
            "text_embeds": torch.randn(batch, pooled),
            "time_ids": torch.zeros(batch, sizes),
        }
    return {}


def timestep_dtype(config: Mapping[str, Any]) -> torch.dtype:
    """Choose the dtype of timesteps: integers for a learned embedding, which is a table of rows."""
    learned = config.get("time_embedding_type") == "learned"
    return torch.int64 if learned else torch.float32
