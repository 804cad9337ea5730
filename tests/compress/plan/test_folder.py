"""U-Net folders people have: each works, or is refused by name before its weights are used."""

from __future__ import annotations

import json
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from safetensors.torch import load_file, save_file

from edgeswap_compress import Checkpoint
from edgeswap_compress._pruning_errors import BadUNetFolder, HasCompanion, UnsupportedModel
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.diffusers_folder.companions import companion_of
from edgeswap_compress.diffusers_folder.config import RULES, config_problem, token_widths
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.plan.folder import empty_unet
from edgeswap_compress.prune import PruneConfig, PruneTarget, build_plan, load_unet
from edgeswap_compress.prune._calibration_samples import noise_samples
from edgeswap_compress.prune.structure._families import CONDITIONED, PLAIN
from edgeswap_runtime.cli import main

C, P = "UNet2DConditionModel", "UNet2DModel"
KINDS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    C: (UNet2DConditionModel, CONDITIONED),
    P: (UNet2DModel, PLAIN),
}
FOUR = {"block_out_channels": (32, 32, 64, 64)}
FOUR_C = {
    **FOUR,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
FOUR_P = {
    **FOUR,
    "down_block_types": ("DownBlock2D",) * 4,
    "up_block_types": ("UpBlock2D",) * 4,
}
BOTH = {"down_block_types": ("CrossAttnDownBlock2D",) * 2,
        "up_block_types": ("CrossAttnUpBlock2D",) * 2}  # fmt: skip

WORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "an unused token width": (C, {"cross_attention_dim": [8, 16]}),
    "an unused null": (C, {"cross_attention_dim": [None, 16]}),
    "one width for each block": (C, {"cross_attention_dim": [16, 16]}),
    "no cross-attention": (C, {"down_block_types": ("DownBlock2D",) * 2,
                               "up_block_types": ("UpBlock2D",) * 2,
                               "mid_block_type": "UNetMidBlock2D"}),
    "learned timesteps": (P, {"time_embedding_type": "learned", "num_train_timesteps": 100}),
    "28 halved three times": (C, {**FOUR_C, "sample_size": 28}),
    "guidance embedding": (C, {"time_cond_proj_dim": 8}),
    "concatenated classes": (C, {"class_embed_type": "simple_projection",
                                 "projection_class_embeddings_input_dim": 8,
                                 "class_embeddings_concat": True}),
    "text embedding": (C, {"addition_embed_type": "text", "addition_embed_type_num_heads": 4}),
    "norm of the tokens": (C, {"cross_attention_norm": "layer_norm"}),
    "nested layers": (C, {"layers_per_block": [1, 2], "transformer_layers_per_block": [1, [1, 2]],
                          "reverse_transformer_layers_per_block": [[1, 2, 1], 1]}),
    "a norm of its own": (P, {"attn_norm_num_groups": 4}),
    "no resampling": (P, {"downsample_type": None, "upsample_type": None}),
}  # fmt: skip

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "several token widths": (C, {**BOTH, "cross_attention_dim": [32, 64]},
                             r"cross_attention_dim \[32, 64\] .* tokens of 2 widths \(AudioLDM's"),
    "two conditions": (C, {"dual_cross_attention": True}, "dual_cross_attention is not supported"),
    "boxes": (C, {"attention_type": "gated"}, "attention_type 'gated' is not supported: expected"),
    "28 without interpolation": (P, {**FOUR_P, "sample_size": 28},
                                 "sample_size 28 x 28 is not supported: it is halved 3 times"),
    "one side of two": (C, {"sample_size": [8]}, r"sample_size \[8\] is not supported: expected"),
    "an even kernel": (C, {"conv_in_kernel": 4}, "conv_in_kernel 4 is not supported: expected an"),
    "no class to concatenate": (C, {"class_embeddings_concat": True}, "without a class_embed_type"),
    "no room for the text": (C, {"addition_embed_type": "text_time", "addition_time_embed_dim": 8,
                                 "projection_class_embeddings_input_dim": 40},
                             "dim 40 is not supported: expected more than 48"),
    "image embedding": (C, {"addition_embed_type": "image"}, "addition_embed_type 'image' is not"),
    "image tokens": (C, {"encoder_hid_dim_type": "image_proj"}, "encoder_hid_dim_type 'image_proj"),
    "what cannot be evaluated": (P, {"down_block_types": ("DownEncoderBlock2D",) * 2,
                                     "up_block_types": ("UpDecoderBlock2D",) * 2},
                                 "builds this UNet2DModel but cannot evaluate it: not enough val"),
}  # fmt: skip


def saved(home: Path, kind: str, **changes: Any) -> Path:
    """A folder with a tiny U-Net, as diffusers writes it."""
    build, config = KINDS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        build(**{**config, **changes}).save_pretrained(home)
    return home


def config_only(home: Path, kind: str, **changes: Any) -> Path:
    home.mkdir(parents=True)
    config = {"_class_name": kind, **KINDS[kind][1], **changes}
    (home / "config.json").write_text(json.dumps(config))
    return home


@pytest.mark.parametrize("case", WORKS)
def test_a_family_that_works_is_pruned_and_probed(case: str, tmp_path: Path) -> None:
    kind, changes = WORKS[case]
    unet = load_unet(saved(tmp_path / "unet", kind, **changes))
    inputs = example_inputs(unet.config, tokens=3, device="cpu")
    calibration = noise_samples(unet.config, tokens=3, samples=2, seed=0)
    pruned = apply_plan(unet, build_plan(unet, PruneConfig(target=PruneTarget(macs_ratio=0.6))))
    with torch.no_grad():
        assert pruned(**inputs).sample.isfinite().all()
    assert calibration.outputs(pruned)[0].isfinite().all()


@pytest.mark.parametrize("case", REFUSED)
def test_a_family_that_does_not_work_is_refused_by_name(case: str, tmp_path: Path) -> None:
    kind, changes, message = REFUSED[case]
    with pytest.raises((UnsupportedModel, BadUNetFolder), match=message):
        load_unet(config_only(tmp_path / "unet", kind, **changes))


def test_export_refuses_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("edgeswap_export")
    folder = config_only(tmp_path / "unet", C, dual_cross_attention=True)
    assert main(["export", str(folder), str(tmp_path / "out")]) == 2
    assert "DualTransformer2DModel" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


BAD_VALUES: list[tuple[str, Any]] = [
    ("sample_size", "8"), ("sample_size", 8.0), ("sample_size", -8), ("sample_size", 10**9),
    ("sample_size", [8, 8, 8]), ("sample_size", True), ("in_channels", -4), ("in_channels", None),
    ("out_channels", 10**9), ("norm_eps", "1e-5"), ("norm_eps", float("nan")), ("norm_eps", 0),
    ("block_out_channels", 32), ("block_out_channels", []), ("block_out_channels", [32, "64"]),
    ("layers_per_block", 10**6), ("cross_attention_dim", {"a": 1}), ("act_fn", 3),
    ("down_block_types", "DownBlock2D"), ("attention_head_dim", 0), ("norm_num_groups", 8.5),
    ("use_linear_projection", "yes"), ("dropout", 2), ("center_input_sample", 1),
    ("transformer_layers_per_block", [[[1]]]), ("conv_in_kernel", 10**6),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_value_of_the_wrong_kind_or_size_is_told(name: str, value: Any, tmp_path: Path) -> None:
    folder = config_only(tmp_path / "unet", C, **{name: value})
    told = "is not JSON: NaN is not a number" if value != value else f"{name} is .*, expected "
    with pytest.raises(BadUNetFolder, match=rf"config\.json: {told}"):
        empty_unet(folder / "config.json")


def test_configs_that_diffusers_writes_are_within_the_bounds() -> None:
    checkpoint = tiny_checkpoint()
    for config in (checkpoint.unet.config, checkpoint.vae.config, checkpoint.conditioner.config):
        assert config_problem(config) is None
    for kind, config in KINDS.values():
        with torch.device("meta"):
            assert config_problem(kind(**config).config) is None
    assert {"sample_size", "block_out_channels", "latents_mean", "widths"} <= set(RULES)


def test_only_widths_that_some_block_reads_count() -> None:
    assert token_widths({**CONDITIONED, "cross_attention_dim": [8, 16]}) == (16,)
    assert token_widths({**CONDITIONED, **BOTH, "cross_attention_dim": [8, 16]}) == (8, 16)
    assert token_widths(PLAIN) == ()


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("controlnet/config.json", "a ControlNet"),
        ("image_encoder/config.json", "the image encoder of an IP-Adapter"),
        ("t2i_adapter/config.json", "a T2I-Adapter"),
        ("pytorch_lora_weights.safetensors", "LoRA weights"),
        ("unet/pytorch_lora_weights.safetensors", "LoRA weights"),
        ("ip-adapter_sd15.safetensors", "an IP-Adapter"),
    ],
)
def test_what_a_pipeline_would_lose_is_named(path: str, what: str, tmp_path: Path) -> None:
    config_only(tmp_path / "unet", C)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("{}")
    message = rf"holds {what} \(.*\), which would be lost: .*, name .*unet instead"
    with pytest.raises(HasCompanion, match=message):
        load_unet(tmp_path)


def test_the_index_of_a_pipeline_is_looked_at_too(tmp_path: Path) -> None:
    index = tmp_path / "model_index.json"
    index.write_text(json.dumps({"image_encoder": [None, None], "unet": ["diffusers", C]}))
    assert companion_of(tmp_path) is None
    index.write_text(json.dumps({"controlnets": ["diffusers", "MultiControlNetModel"]}))
    assert companion_of(tmp_path) == ("model_index.json: controlnets", "a ControlNet")


def test_the_unet_alone_may_be_named_instead(tmp_path: Path) -> None:
    saved(tmp_path / "unet", C)
    (tmp_path / "controlnet").mkdir()
    assert load_unet(tmp_path / "unet").config.in_channels == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_named(value: float, tmp_path: Path) -> None:
    folder = saved(tmp_path / "unet", C)
    file = folder / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["mid_block.resnets.0.conv1.bias"][3] = value
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(
        BadUNetFolder, match=r"mid_block\.resnets\.0\.conv1\.bias holds NaN or infin"
    ):
        load_unet(folder)


def test_an_adapter_among_the_weights_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "unet", C)
    file = folder / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["mid_block.attn2.processor.to_k_ip.weight"] = torch.zeros(2, 2)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(HasCompanion, match=r"hold an IP-Adapter \(mid_block.*\), which would be l"):
        load_unet(folder)


NOISE = {"role": "noise", "channels": 4}


def edited(folder: Path, part: str, **changes: Any) -> Path:
    """A tiny checkpoint with entries of one config changed."""
    checkpoint = tiny_checkpoint().save(folder)
    file = checkpoint / part / "config.json" if part != "swap" else checkpoint / "swap.json"
    raw = json.loads(file.read_text())
    for place, value in changes.items():
        *inside, name = place.split(".")
        reduce(getitem, inside, raw)[name] = value
    file.write_text(json.dumps(raw))
    return checkpoint


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("vae", {"latents_mean": [0.0] * 4}, r"latents_mean: expected null \(swap.json states"),
        ("swap", {"latents.std": [1.0] * 3}, "latents: std: expected 1 or 4 numbers, found 3"),
        ("swap", {"latents.std": [1.0, 0.0, 1.0, 1.0]}, r"latents.std\[1\] is 0.0, expected"),
        ("vae", {"sample_size": "8"}, "found sample_size is '8', expected an integer from 1"),
        ("unet", {"norm_eps": "0"}, "found norm_eps is '0', expected a number from"),
        ("conditioner", {"widths": 8}, "found widths is 8, expected a list"),
        ("swap", {"inputs": [NOISE]}, "in_channels: expected 4, found 12"),
        ("swap", {"crops.model.size_px": 48}, "expected latents of 4 x 4, found latents of 8 x 8"),
        ("swap", {"latents.size": "4"}, "latents.size"),
        ("swap", {"sampling.guidance_scale": 1e999}, "Infinity is not a number"),
        ("swap", {"sampling.guidance_scale": 1e9}, "guidance_scale is 1000000000.0, expected 1"),
        ("swap", {"sampling.steps": 10**9}, "steps is 1000000000, expected 1 to 1"),
    ],
)
def test_parts_of_a_checkpoint_that_do_not_fit_are_told(
    part: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidCheckpoint, match=message):
        Checkpoint.load(edited(tmp_path / "checkpoint", part, **changes))


def test_a_checkpoint_with_bad_weights_or_a_controlnet_is_refused(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint()
    with torch.no_grad():
        checkpoint.vae.decoder.conv_in.bias[0] = float("inf")
    folder = checkpoint.save(tmp_path / "checkpoint")
    with pytest.raises(InvalidCheckpoint, match=r"decoder\.conv_in\.bias: expected numbers, found"):
        Checkpoint.load(folder)
    (folder / "controlnet").mkdir()
    with pytest.raises(HasCompanion, match="holds a ControlNet"):
        Checkpoint.load(folder)
