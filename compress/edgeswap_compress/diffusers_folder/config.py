"""Check the values of a diffusers config.json before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeswap_compress.errors import InvalidCheckpoint

SIDE = 4096
"""No sample is larger, in latent pixels."""
WIDTH = 1 << 16
"""No layer or condition is wider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The values that one entry of a config may have.

    Attributes:
        kind: "int", "number", "bool" or "text".
        least, most: bounds of a number, both included.
        absent: whether null is allowed.
        listed: whether it may be a list of such values, one for each level (nested once at most);
            None where it must be one.
        length: of that list, at most.
        choices: the texts that are known, where there are few.
    """

    kind: str
    least: float = 0
    most: float = 0
    absent: bool = False
    listed: bool | None = False
    length: int = 16
    choices: tuple[str, ...] = ()

    def allows(self, value: object) -> bool:
        """Tell whether a value is allowed."""
        if isinstance(value, list | tuple):
            if self.listed is False or not 0 < len(value) <= self.length:
                return False
            return all(self._allows_inside(entry) for entry in value)
        if value is None:
            return self.absent
        return self.listed is not None and self._allows_one(value)

    def _allows_inside(self, entry: object) -> bool:
        if isinstance(entry, list | tuple):
            return 0 < len(entry) <= self.length and all(map(self._allows_one, entry))
        return self._allows_one(entry)

    def _allows_one(self, value: object) -> bool:
        if value is None:
            return self.absent
        if self.choices:
            return value in self.choices
        if self.kind in ("bool", "text"):
            return isinstance(value, bool if self.kind == "bool" else str)
        kinds = int if self.kind == "int" else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        return math.isfinite(value) and self.least <= value <= self.most

    def __str__(self) -> str:
        one = {"bool": "true or false", "text": "text"}.get(self.kind)
        if self.choices:
            one = f"one of {', '.join(self.choices)}"
        if one is None:
            kind = "an integer" if self.kind == "int" else "a number"
            one = f"{kind} from {self.least:g} to {self.most:g}"
        if self.listed is None:
            one = f"a list of 1 to {self.length} values, each {one}"
        elif self.listed:
            one += f", or a list of 1 to {self.length} of them"
        return one + (", or null" if self.absent else "")


_SIZE = Rule(kind="int", least=1, most=SIDE, absent=True, listed=True, length=2)
_CHANNELS = Rule(kind="int", least=1, most=SIDE)
_WIDTHS = Rule(kind="int", least=1, most=1 << 14, listed=None)
_LAYERS = Rule(kind="int", least=1, most=64, listed=True)
_OPTIONAL_WIDTH = Rule(kind="int", least=1, most=WIDTH, absent=True)
_COUNT = Rule(kind="int", least=1, most=10**6, absent=True)
_GROUPS = Rule(kind="int", least=1, most=1024, absent=True)
_KERNEL = Rule(kind="int", least=1, most=31)
_SCALE = Rule(kind="number", least=1e-6, most=1e6)
_FLAG = Rule(kind="bool", absent=True)
_NAMES = Rule(kind="text", listed=None)
_NAME = Rule(kind="text", absent=True)
_STATISTICS = Rule(kind="number", least=-1e6, most=1e6, absent=True, listed=True, length=SIDE)

RULES: dict[str, Rule] = {
    "sample_size": _SIZE,
    "in_channels": _CHANNELS,
    "out_channels": _CHANNELS,
    "latent_channels": _CHANNELS,
    "block_out_channels": _WIDTHS,
    "encoder_block_out_channels": _WIDTHS,
    "decoder_block_out_channels": _WIDTHS,
    "layers_per_block": _LAYERS,
    "num_encoder_blocks": Rule(kind="int", least=0, most=64, listed=True),
    "num_decoder_blocks": Rule(kind="int", least=0, most=64, listed=True),
    "transformer_layers_per_block": _LAYERS,
    "reverse_transformer_layers_per_block": Rule(
        kind="int", least=1, most=64, listed=True, absent=True
    ),
    "cross_attention_dim": Rule(kind="int", least=1, most=WIDTH, absent=True, listed=True),
    "attention_head_dim": Rule(kind="int", least=1, most=1 << 14, absent=True, listed=True),
    "widths": _WIDTHS,
    "vector_size": Rule(kind="int", least=1, most=WIDTH),
    "latent_size": Rule(kind="int", least=1, most=SIDE),
    "input_size": Rule(kind="int", least=1, most=WIDTH),
    "features_size": Rule(kind="int", least=0, most=WIDTH),
    "tokens": Rule(kind="int", least=1, most=SIDE),
    "width": Rule(kind="int", least=1, most=WIDTH),
    "inner": Rule(kind="int", least=1, most=WIDTH),
    "depth": Rule(kind="int", least=0, most=64),
    "heads": Rule(kind="int", least=0, most=1024),
    "shortcut_scale": Rule(kind="number", least=-1e3, most=1e3),
    "conditioning_embedding_out_channels": _WIDTHS,
    "conditioning_channels": _CHANNELS,
    "encoder_hid_dim": _OPTIONAL_WIDTH,
    "addition_time_embed_dim": _OPTIONAL_WIDTH,
    "time_embedding_dim": _OPTIONAL_WIDTH,
    "time_cond_proj_dim": _OPTIONAL_WIDTH,
    "projection_class_embeddings_input_dim": _OPTIONAL_WIDTH,
    "num_class_embeds": _COUNT,
    "num_train_timesteps": _COUNT,
    "norm_num_groups": _GROUPS,
    "attn_norm_num_groups": _GROUPS,
    "addition_embed_type_num_heads": Rule(kind="int", least=1, most=1024),
    "norm_eps": Rule(kind="number", least=1e-12, most=1),
    "dropout": Rule(kind="number", least=0, most=1),
    "downsample_padding": Rule(kind="int", least=0, most=1),
    "conv_in_kernel": _KERNEL,
    "conv_out_kernel": _KERNEL,
    "freq_shift": Rule(kind="number", least=-1000, most=1000),
    "mid_block_scale_factor": _SCALE,
    "resnet_out_scale_factor": _SCALE,
    "scaling_factor": _SCALE,
    "latents_mean": _STATISTICS,
    "latents_std": _STATISTICS,
    "only_cross_attention": Rule(kind="bool", listed=True),
    "down_block_types": _NAMES,
    "up_block_types": _NAMES,
    **dict.fromkeys(
        (
            "center_input_sample",
            "flip_sin_to_cos",
            "dual_cross_attention",
            "use_linear_projection",
            "upcast_attention",
            "resnet_skip_time_act",
            "class_embeddings_concat",
            "mid_block_only_cross_attention",
            "add_attention",
            "mid_block_add_attention",
            "use_quant_conv",
            "use_post_quant_conv",
            "force_upcast",
            "shortcut",
            "null",
        ),
        _FLAG,
    ),
    **dict.fromkeys(
        (
            "mid_block_type",
            "act_fn",
            "encoder_hid_dim_type",
            "class_embed_type",
            "addition_embed_type",
            "resnet_time_scale_shift",
            "time_embedding_type",
            "time_embedding_act_fn",
            "timestep_post_act",
            "attention_type",
            "cross_attention_norm",
            "downsample_type",
            "upsample_type",
        ),
        _NAME,
    ),
}
"""Entry -> what it may be, for U-Nets, autoencoders and conditioners; an entry that is left out has
diffusers' default."""


_BETA = Rule(kind="number", least=0, most=0.9999)

SCHEDULER_RULES: dict[str, Rule] = {
    "num_train_timesteps": Rule(kind="int", least=1, most=10_000),
    "beta_start": _BETA,
    "beta_end": _BETA,
    "beta_schedule": Rule(kind="text", choices=("linear", "scaled_linear", "squaredcos_cap_v2")),
    "trained_betas": Rule(
        kind="number", least=0, most=0.9999, absent=True, listed=None, length=10_000
    ),
    "clip_sample": Rule(kind="bool"),
    "set_alpha_to_one": Rule(kind="bool"),
    "steps_offset": Rule(kind="int", least=0, most=1000),
    "prediction_type": Rule(kind="text", choices=("epsilon", "sample", "v_prediction")),
    "thresholding": Rule(kind="bool"),
    "dynamic_thresholding_ratio": Rule(kind="number", least=0, most=1),
    "clip_sample_range": _SCALE,
    "sample_max_value": _SCALE,
    "timestep_spacing": Rule(kind="text", choices=("leading", "trailing", "linspace")),
    "rescale_betas_zero_snr": Rule(kind="bool"),
}
"""The same for noise schedules."""


NOISE_CLASSES = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)
"""Classes of diffusers whose configs state the noise by betas; a checkpoint may be stored with any,
whatever it is sampled by."""


def check_noise_class(file: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a scheduler that is not of a class whose noise follows from betas.

    Args:
        file: of the config, for the message.
        settings: its content.

    Raises:
        InvalidCheckpoint: it is of another class.
    """
    found = settings.get("_class_name")
    if found not in NOISE_CLASSES:
        expected = "a diffusers scheduler with betas, such as DDIMScheduler"
        raise InvalidCheckpoint(f"{file}: _class_name", expected=expected, found=found)


def config_problem(config: Mapping[str, Any], rules: Mapping[str, Rule] = RULES) -> str | None:
    """Say in one line what is wrong with a config's values; None where nothing is."""
    for name, rule in rules.items():
        if name in config and not rule.allows(config[name]):
            return f"{name} is {_shown(config[name])}, expected {rule}"
    return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def token_widths(config: Mapping[str, Any]) -> tuple[int, ...]:
    """List the widths of cross-attention tokens that some block of a U-Net reads, each once.

    `cross_attention_dim` may be a list with an entry for each level; entries of levels without
    cross-attention are not looked at.
    """
    stated = config.get("cross_attention_dim")
    down = list(config.get("down_block_types", ()))
    if not isinstance(stated, list | tuple):
        return () if stated is None else (stated,)
    up = list(config.get("up_block_types", ()))
    read = [*zip(down, stated, strict=False), *zip(up, reversed(stated), strict=False)]
    read.append((str(config.get("mid_block_type", "CrossAttn")), stated[-1]))
    return tuple(dict.fromkeys(w for name, w in read if "CrossAttn" in name and w is not None))


def downsamplings(config: Mapping[str, Any]) -> int:
    """Count how often a U-Net halves its sample."""
    return max(0, len(config.get("down_block_types", ())) - 1)
