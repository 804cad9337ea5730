"""Inputs that run any supported U-Net once, derived from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from edgeswap_compress._diffusers_config import downsamplings, token_widths
from edgeswap_compress.prune._errors import UnsupportedModel

DEFAULT_SAMPLE_SIZE = 64
DEFAULT_TOKENS = 77  # of CLIP's text encoder, which the Stable Diffusion family conditions on

TEXT_TIME_SIZES = 6  # numbers beside the pooled text: Stable Diffusion XL's sizes and offsets


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


def sample_sides(config: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a U-Net's samples; 64 where its config states none."""
    size = config.get("sample_size") or DEFAULT_SAMPLE_SIZE
    if isinstance(size, int):
        return size, size
    return int(size[0]), int(size[-1])


def timestep_dtype(config: Mapping[str, Any]) -> torch.dtype:
    """Of the timesteps: a learned embedding is a table, which has rows and nothing between them."""
    learned = config.get("time_embedding_type") == "learned"
    return torch.int64 if learned else torch.float32


_KNOWN: dict[str, tuple[str | None, ...]] = {
    "class_embed_type": (None, "timestep", "identity", "projection", "simple_projection"),
    "encoder_hid_dim_type": (None, "text_proj"),
    "addition_embed_type": (None, "text", "text_time"),
    "attention_type": (None, "default"),
}
"""Entry of a config -> kinds of conditioning that inputs are known for."""


def unsupported_family(config: Mapping[str, Any]) -> str | None:
    """Why no inputs are known for U-Nets of a config, by name; None where they are."""
    for name, known in _KNOWN.items():
        if config.get(name) not in known:
            *most, last = (repr(kind) if kind else "None" for kind in known)
            expected = f"{', '.join(most)} or {last}"
            return f"{name} {config[name]!r} is not supported: expected {expected}"
    if config.get("dual_cross_attention"):
        return (
            "dual_cross_attention is not supported (DualTransformer2DModel reads two conditions, "
            "one behind the other): expected false"
        )
    if len(widths := token_widths(config)) > 1:
        return (
            f"cross_attention_dim {list(config['cross_attention_dim'])} is not supported: blocks "
            f"would read tokens of {len(widths)} widths (AudioLDM's form), expected one width for "
            "all blocks with cross-attention"
        )
    return _unsupported_condition(config) or _unsupported_size(config)


def _unsupported_condition(config: Mapping[str, Any]) -> str | None:
    embeds = config.get("class_embed_type"), config.get("num_class_embeds")
    if config.get("class_embeddings_concat") and embeds == (None, None):
        return "class_embeddings_concat is not supported without a class_embed_type"
    width = config.get("projection_class_embeddings_input_dim") or 0
    sizes = TEXT_TIME_SIZES * (config.get("addition_time_embed_dim") or 0)
    if config.get("addition_embed_type") == "text_time" and width <= sizes:
        return (
            f"projection_class_embeddings_input_dim {width} is not supported: expected more than "
            f"{sizes}, which are {TEXT_TIME_SIZES} times addition_time_embed_dim, for the text"
        )
    return None


def _unsupported_size(config: Mapping[str, Any]) -> str | None:
    """A `UNet2DModel` cannot double its way back to a size that it did not halve evenly."""
    for name in ("conv_in_kernel", "conv_out_kernel"):
        if config.get(name, 1) % 2 == 0:
            return f"{name} {config[name]} is not supported: expected an odd number"
    size = config.get("sample_size")
    if isinstance(size, list | tuple) and len(size) != 2:
        return f"sample_size {list(size)} is not supported: expected one number or two"
    factor = 2 ** downsamplings(config)
    if "cross_attention_dim" not in config and any(s % factor for s in sample_sides(config)):
        height, width = sample_sides(config)
        return (
            f"sample_size {height} x {width} is not supported: it is halved "
            f"{downsamplings(config)} times, expected multiples of {factor}"
        )
    return None
