"""LoRA are fused as diffusers fuses them, from every form of file; others are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from edgeswap_compress.importers.errors import DoesNotFit, UnreadableWeights
from edgeswap_compress.importers.files.ldm_names import ldm_names
from edgeswap_compress.importers.files.lora import fuse_updates, read_updates
from edgeswap_compress.importers.tiny.adapters import tiny_lora

UP = r"lora_up|lora_B|lora\.up"


def unet_of(folder: Path) -> Any:
    return UNet2DConditionModel.from_pretrained(folder / "unet").eval()


def fused_by_diffusers(base: Path, file: Path, scale: float) -> dict[str, torch.Tensor]:
    unet = unet_of(base)
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(base / "vae"),
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    pipe.load_lora_weights(load_file(file))
    pipe.fuse_lora(lora_scale=scale)
    pipe.unload_lora_weights()
    return unet.state_dict()


@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.parametrize("form", ["kohya", "peft", "diffusers"])
@pytest.mark.parametrize("base", ["sd4", "xl"])
@pytest.mark.filterwarnings("ignore")  # diffusers' and peft's own, of versions to come
def test_fused_as_diffusers_fuses(
    given: Path, tmp_path: Path, base: str, form: str, scale: float
) -> None:
    unet = unet_of(given / base)
    file = tiny_lora(tmp_path / "lora.safetensors", unet, form=form)
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    count = fuse_updates(unet, read_updates(file, load_file(file), unet, scale))
    truth = fused_by_diffusers(given / base, file, scale)
    mine = unet.state_dict()
    changed = [n for n in mine if not torch.equal(mine[n], before[n])]
    assert len(changed) == count == len([key for key in load_file(file) if re.search(UP, key)])
    assert set(truth) == set(mine)
    assert max(float((mine[n] - truth[n]).abs().max()) for n in mine) < 1e-6


def test_names_of_the_other_code_lead_to_the_same_layers(given: Path, tmp_path: Path) -> None:
    unet = unet_of(given / "xl")
    file = tiny_lora(tmp_path / "lora.safetensors", unet)
    theirs = {
        path.replace(".", "_"): name.replace(".", "_") for path, name in ldm_names(unet).items()
    }
    renamed = {}
    for key, tensor in load_file(file).items():
        layer, dot, rest = key.removeprefix("lora_unet_").partition(".")
        renamed[f"lora_unet_{theirs[layer]}{dot}{rest}"] = tensor
    one = read_updates(file, load_file(file), unet, 1.0)
    two = read_updates(file, renamed, unet, 1.0)
    assert [u.layer for u in one] == [u.layer for u in two]


@pytest.mark.parametrize(
    ("add", "kind", "message"),
    [
        ({"lora_unet_mid.dora_scale": torch.ones(1)}, UnreadableWeights, "found DoRA"),
        ({"lora_unet_mid.hada_w1_a": torch.ones(1)}, UnreadableWeights, "found LoHa"),
        ({"more": torch.ones(1)}, UnreadableWeights, "tensors of a LoRA, found more"),
        ({"unet.none.lora_A.weight": torch.ones(1, 1)}, DoesNotFit, "which it has not"),
        ({"unet.conv_in.lora_A.weight": torch.ones(1, 36)}, UnreadableWeights, "both halves"),
    ],
)
def test_what_is_no_lora_is_refused(
    given: Path, tmp_path: Path, add: Any, kind: type[Exception], message: str
) -> None:
    unet = unet_of(given / "sd4")
    file = tiny_lora(tmp_path / "lora.safetensors", unet)
    with pytest.raises(kind, match=message):
        read_updates(file, load_file(file) | add, unet, 1.0)


def test_a_lora_of_another_width_is_refused(given: Path, tmp_path: Path) -> None:
    file = tiny_lora(tmp_path / "lora.safetensors", unet_of(given / "sd9"))
    tensors = {
        k: v[:, :16].contiguous() if "lora_down" in k else v for k, v in load_file(file).items()
    }
    save_file(tensors, file)
    with pytest.raises(DoesNotFit, match="found a LoRA of"):
        read_updates(file, load_file(file), unet_of(given / "sd4"), 1.0)
