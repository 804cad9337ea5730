"""Tell from a config alone which U-Nets can be evaluated and pruned, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeswap_compress.diffusers_folder.config import downsamplings, token_widths

DEFAULT_SAMPLE_SIZE = 64
TEXT_TIME_SIZES = 6  # numbers beside the pooled text: Stable Diffusion XL's sizes and offsets

SUPPORTED_BLOCKS = frozenset(
    {
        "AttnDownBlock2D",
        "AttnUpBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnUpBlock2D",
        "DownBlock2D",
        "ResnetDownsampleBlock2D",
        "ResnetUpsampleBlock2D",
        "UNetMidBlock2D",
        "UNetMidBlock2DCrossAttn",
        "UpBlock2D",
    }
)
"""Blocks that can be pruned."""

_KNOWN: dict[str, tuple[str | None, ...]] = {
    "class_embed_type": (None, "timestep", "identity", "projection", "simple_projection"),
    "encoder_hid_dim_type": (None, "text_proj"),
    "addition_embed_type": (None, "text", "text_time"),
    "attention_type": (None, "default"),
}
"""Entry of a config -> kinds of conditioning that inputs are known for."""


def unsupported_family(config: Mapping[str, Any]) -> str | None:
    """Say why a U-Net of this config is not supported; None where it is."""
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
    if _is_plain(config) and any(s % factor for s in sample_sides(config)):
        height, width = sample_sides(config)
        return (
            f"sample_size {height} x {width} is not supported: it is halved "
            f"{downsamplings(config)} times, expected multiples of {factor}"
        )
    return None


def unprunable_block(config: Mapping[str, Any]) -> str | None:
    """Say which block cannot be pruned, in one line; None where all can."""
    blocks = {
        f"{side}_blocks.{index}": kind
        for side in ("down", "up")
        for index, kind in enumerate(config.get(f"{side}_block_types", ()))
    }
    blocks["mid_block"] = config.get("mid_block_type")
    for name, kind in blocks.items():
        if kind is not None and kind not in SUPPORTED_BLOCKS:
            return block_message(name, kind)
    return None


def block_message(name: str, kind: str) -> str:
    """Say in one line that a block cannot be pruned."""
    return (
        f"{name} is a {kind}, which cannot be pruned: "
        f"expected one of {', '.join(sorted(SUPPORTED_BLOCKS))}"
    )


def sample_sides(config: Mapping[str, Any]) -> tuple[int, int]:
    """Read height and width of a U-Net's samples; 64 where its config states none."""
    size = config.get("sample_size") or DEFAULT_SAMPLE_SIZE
    if isinstance(size, int):
        return size, size
    return int(size[0]), int(size[-1])


def _is_plain(config: Mapping[str, Any]) -> bool:
    """Whether it is a `UNet2DModel`, which knows no cross-attention."""
    name = config.get("_class_name")
    return name == "UNet2DModel" if name else "cross_attention_dim" not in config
