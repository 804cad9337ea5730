"""Forms in which base models, adapters and encoders come: imported with parity, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from onnx import helper
from safetensors.torch import load_file, save_file

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.importers.tiny.adapters import tiny_adapter, tiny_lora
from edgeswap_compress.importers.tiny.backbones import (
    POOLED,
    tiny_base,
    tiny_prompt,
    tiny_unet,
    tiny_vae,
    tiny_xl_unet,
)
from edgeswap_compress.importers.tiny.encoders import tiny_recognizer
from edgeswap_compress.importers.tiny.ldm import ldm_state
from edgeswap_runtime.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' own, of versions to come

STEM = "diffusion_pytorch_model"
Words = list[Any]


def faceid(
    folder: Path, base: Path, *more: Any, unet: Any = None, adapter: str = "adapter.bin",
    prompt: Path | None = None, recognizer: Path | None = None,
) -> Words:  # fmt: skip
    """Write what belongs to a base model, and give a whole command line."""
    unet = unet or UNet2DConditionModel.from_pretrained(base / "unet")
    tiny_adapter(folder / adapter, unet)
    if prompt is None:
        prompt, width = folder / "prompt.safetensors", unet.config.cross_attention_dim
        random = torch.Generator().manual_seed(3)
        names = ("prompt_embeds", "negative_prompt_embeds")
        save_file({name: torch.randn(1, 77, width, generator=random) for name in names}, prompt)
    return [
        "faceid", base, folder / "out", "--adapter", folder / adapter, "--prompt-embeds", prompt,
        "--recognizer", recognizer or tiny_recognizer(folder / "recognizer.onnx"), "--size", 64,
        "--steps", 4, "--guidance", 3, "--license", "CC0-1.0", "--origin", "made", *more,
    ]  # fmt: skip


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def changed(file: str, *more: Any, form: Any = None, **changes: Any) -> Callable[[Path], Words]:
    """A base model with changes in one of its configs."""

    def make(folder: Path) -> Words:
        base = tiny_base(folder / "base", **(form or {}))
        words = faceid(folder, base, *more)
        edit(base / file, **changes)
        return words

    return make


def unet(*more: Any, **changes: Any) -> Callable[[Path], Words]:
    """A base model whose U-Net is of another form."""
    return lambda folder: faceid(folder, tiny_base(folder / "base", **changes), *more)


def latents(levels: int, channels: int, width: int, **changes: Any) -> Callable[[Path], Words]:
    """A base model with latents of another number and size, begun at the noised target."""

    def make(folder: Path) -> Words:
        base = tiny_base(folder / "base", channels=width, out_channels=channels)
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels, block_out_channels=(32,) * levels,
            layers_per_block=1, latent_channels=channels, scaling_factor=0.5, **changes,
        ).save_pretrained(base / "vae")  # fmt: skip
        return faceid(folder, base, "--strength", 0.75)

    return make


def statistics(folder: Path) -> Words:
    base = tiny_base(folder / "base", xl=True)
    edit(base / "vae/config.json", latents_mean=[0.1, 0.2, 0.3, 0.4], latents_std=[1.0, 2, 3, 4])
    return faceid(folder, base, "--strength", 0.75, prompt=tiny_prompt(folder / "words", xl=True))


def stored(how: str) -> Callable[[Path], Words]:
    """A base model whose weights lie on disk in another way."""

    def make(folder: Path) -> Words:
        base = tiny_base(folder / "base")
        module = UNet2DConditionModel.from_pretrained(base / "unet")
        words = faceid(folder, base)
        (base / "unet" / f"{STEM}.safetensors").unlink()
        if how == "pickle":
            torch.save(module.state_dict(), base / "unet" / f"{STEM}.bin")
        elif how == "variant":
            file = base / "unet" / f"{STEM}.fp16.safetensors"
            save_file({k: v.half() for k, v in module.state_dict().items()}, file)
        else:
            module.save_pretrained(base / "unet", max_shard_size="300KB")
        return words

    return make


def single(*more: Any, xl: bool = False, extra: Any = None, **form: Any) -> Callable[[Path], Words]:
    """One file under latent diffusion's names."""

    def make(folder: Path) -> Words:
        torch.manual_seed(0)
        module = (tiny_xl_unet if xl else tiny_unet)(**form)
        state = {k: v.contiguous() for k, v in ldm_state(module, tiny_vae()).items()}
        file = folder / "model.safetensors"
        save_file(state | {name: torch.zeros(1) for name in extra or ()}, file)
        prompt = tiny_prompt(folder / "words", xl=True) if xl else None
        return faceid(folder, file, *more, unet=module, prompt=prompt)

    return make


SD2 = {"cross_attention_dim": 1024, "use_linear_projection": True, "attention_head_dim": (1, 1)}
XL = {
    "addition_time_embed_dim": 256, "attention_head_dim": (1, 1),
    "projection_class_embeddings_input_dim": POOLED + 6 * 256,
}  # fmt: skip


def adapted(folder: Path) -> Words:
    """An adapter in half precision, as safetensors."""
    words = faceid(folder, tiny_base(folder / "base"), adapter="adapter.safetensors")
    file = folder / "adapter.safetensors"
    save_file({name: value.half() for name, value in load_file(file).items()}, file)
    return words


def lora(form: str, scale: float, *more: Any) -> Callable[[Path], Words]:
    """A LoRA of few steps beside the adapter."""

    def make(folder: Path) -> Words:
        base = tiny_base(folder / "base")
        module = UNet2DConditionModel.from_pretrained(base / "unet")
        file = tiny_lora(folder / "lora.safetensors", module, form=form)
        return faceid(folder, base, "--lora", f"{file}:{scale}", "--guidance", 1, *more)

    return make


def recognizer(change: Callable[[Any, Path], None]) -> Callable[[Path], Words]:
    """A recognizer of another form."""

    def make(folder: Path) -> Words:
        file = tiny_recognizer(folder / "recognizer.onnx")
        change(onnx.load(file), file)
        return faceid(folder, tiny_base(folder / "base"), recognizer=file)

    return make


def beside(model: Any, file: Path) -> None:
    onnx.save(model, file, save_as_external_data=True, size_threshold=0, location="weights.bin")


def lost(model: Any, file: Path) -> None:
    beside(model, file)
    (file.parent / "weights.bin").unlink()


def open_sizes(model: Any, file: Path) -> None:
    for value in (*model.graph.input, *model.graph.output):
        for number, size in enumerate(value.type.tensor_type.shape.dim):
            if number != 1 or value.name == "answer":
                size.Clear()
    onnx.save(model, file)


def channels_last(model: Any, file: Path) -> None:
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    sizes[1].dim_value, sizes[3].dim_value = 112, 3
    node = helper.make_node("Transpose", ["input.1"], ["turned"], perm=[0, 3, 1, 2])
    model.graph.node.insert(0, node)
    model.graph.node[1].input[0] = "turned"
    onnx.save(model, file)


SCHEDULER = "scheduler/scheduler_config.json"
ZERO = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}

IMPORTED = {
    "another width of cross-attention": unet(cross_attention_dim=96),
    "16 channels of latents": latents(4, 16, 16),
    "latents of a quarter": latents(3, 4, 4),
    "shifted latents, no quant_conv": latents(
        4, 4, 4, shift_factor=0.2, use_quant_conv=False, use_post_quant_conv=False
    ),
    "latents with statistics": statistics,
    "no signal at the end": changed(
        SCHEDULER, "--sampler", "euler", form={"prediction_type": "v_prediction"}, **ZERO
    ),
    "sigmas after Karras": changed(SCHEDULER, "--sampler", "dpmpp_2m", use_karras_sigmas=True),
    "what predicts the sample": unet(prediction_type="sample"),
    "an LCM-LoRA": lora("kohya", 1.0, "--sampler", "lcm"),
    "a Hyper-SD LoRA": lora("peft", 0.125, "--spacing", "trailing", "--steps", 2),
    "half an adapter": adapted,
    "a variant's suffix": stored("variant"),
    "shards": stored("shards"),
    "a single file": single(),
    "a single file of Stable Diffusion 2": single("--prediction", "v_prediction", **SD2),
    "a single file that says v": single(extra=("v_pred", "ztsnr")),
    "a single file of XL": single("--strength", 0.75, xl=True, **XL),
    "weights beside a recognizer": recognizer(beside),
    "a recognizer with open sizes": recognizer(open_sizes),
}

REFUSED = {
    "13 channels": (unet(channels=13), "found 13, which these groups do not explain"),
    "33 channels of 16": (latents(4, 16, 33), "found 33, which these groups do not explain"),
    "two outputs": (unet(out_channels=8), "found 8 output channels"),
    "projected tokens": (
        changed("unet/config.json", encoder_hid_dim=96, encoder_hid_dim_type="text_proj"),
        "projects what it is told",
    ),
    "classes": (changed("unet/config.json", num_class_embeds=10), "is told a class"),
    "other additions": (
        changed("unet/config.json", addition_embed_type="image"), "addition_embed_type 'image'",
    ),
    "epsilon to the end": (changed(SCHEDULER, **ZERO), "no sample follows from the noise"),
    "flow matching": (
        changed(SCHEDULER, _class_name="FlowMatchEulerDiscreteScheduler"),
        "expected a diffusers scheduler with betas",
    ),
    "a pickled folder": (stored("pickle"), "holds pickled weights"),
    "an untold prediction": (single(**SD2), "expected --prediction epsilon or"),
    "a told prediction": (
        single("--prediction", "epsilon", extra=("v_pred",)), "says v_prediction by its entry",
    ),
    "heads of a folder": (unet("--heads", 4), "whose configs say it: leave --heads out"),
    "a size that is not halved": (unet("--size", 72), "expected a multiple of 16"),
    "lost weights": (recognizer(lost), "expected an ONNX file, found"),
    "channels last": (recognizer(channels_last), "expected one picture (N, 3, R, R)"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMPORTED)
def test_imported_with_parity(name: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["import", *map(str, IMPORTED[name](tmp_path))]) == 0, capsys.readouterr().err
    assert "proven: " in capsys.readouterr().out
    shutil.rmtree(tmp_path / "base", ignore_errors=True)  # nothing of what was given is needed
    for file in tmp_path.glob("*.*"):
        file.unlink()
    checkpoint = Checkpoint.load(tmp_path / "out")
    assert checkpoint.swap.latent_size * 2 ** (
        len(checkpoint.vae.config.block_out_channels) - 1
    ) == 64  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_one_line(name: str, tmp_path: Path, capsys: Any) -> None:
    make, message = REFUSED[name]
    assert main(["import", *map(str, make(tmp_path))]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("edgeswap: ") and told.err.count("\n") == 1 and told.out == ""
    assert message in told.err
    assert not (tmp_path / "out").exists()


def test_a_single_file_of_xl_has_its_latents_scale(tmp_path: Path) -> None:
    words = single(xl=True, **XL)(tmp_path)
    assert main(["import", *map(str, words)]) == 0
    assert Checkpoint.load(tmp_path / "out").swap.latents.std == pytest.approx((1 / 0.13025,))
