"""Inputs that run any supported U-Net once, derived from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from edgeswap_compress.prune._errors import UnsupportedModel

DEFAULT_SAMPLE_SIZE = 64
DEFAULT_TOKENS = 77  # of CLIP's text encoder, which the Stable Diffusion family conditions on


def example_inputs(
    config: Mapping[str, Any],
    *,
    tokens: int = DEFAULT_TOKENS,
    batch: int = 1,
    device: torch.device | str = "meta",
) -> dict[str, Any]:
    """Keyword arguments for one forward pass of a U-Net.

    Args:
        config: of a `UNet2DConditionModel` or `UNet2DModel`. Where it states no sample size, 64.
        tokens: length of the cross-attention sequence, which no config states.
        batch: number of samples.
        device: of the tensors; on the meta device they have no values, elsewhere they are
            standard normal, unseeded, and integers are zero or one.

    Raises:
        UnsupportedModel: the config asks for a kind of conditioning that is not known here.
    """
    size = config.get("sample_size") or DEFAULT_SAMPLE_SIZE
    height, width = (size, size) if isinstance(size, int) else size
    with torch.device(device):
        inputs: dict[str, Any] = {
            "sample": torch.randn(batch, config["in_channels"], height, width),
            "timestep": torch.ones(batch),
        }
        labels = _class_labels(config, batch)
        if labels is not None:
            inputs["class_labels"] = labels
        if "cross_attention_dim" in config:  # UNet2DConditionModel
            inputs["encoder_hidden_states"] = torch.randn(batch, tokens, _token_width(config))
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
    raise UnsupportedModel(
        f"class_embed_type {kind!r} is not supported: expected None, 'timestep', 'identity', "
        "'projection' or 'simple_projection'"
    )


def _token_width(config: Mapping[str, Any]) -> int:
    if config.get("encoder_hid_dim") is not None:
        return int(config["encoder_hid_dim"])
    width = config["cross_attention_dim"]
    return int(width if isinstance(width, int) else width[0])


def _added_conditions(config: Mapping[str, Any], batch: int) -> dict[str, torch.Tensor]:
    kind, projection = config.get("addition_embed_type"), config.get("encoder_hid_dim_type")
    if projection not in (None, "text_proj"):
        raise UnsupportedModel(
            f"encoder_hid_dim_type {projection!r} is not supported: expected None or 'text_proj'"
        )
    if kind in (None, "text"):
        return {}
    if kind == "text_time":  # Stable Diffusion XL: six sizes and offsets beside the pooled text
        sizes = 6
        pooled = (
            config["projection_class_embeddings_input_dim"]
            - sizes * config["addition_time_embed_dim"]
        )
        return {
            "text_embeds": torch.randn(batch, pooled),
            "time_ids": torch.zeros(batch, sizes),
        }
    raise UnsupportedModel(
        f"addition_embed_type {kind!r} is not supported: expected None, 'text' or 'text_time'"
    )
