"""edgeswap import: one clear line and exit code 2 for what does not fit, and nothing written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.importers.families import FAMILIES, REFUSED
from edgeswap_compress.importers.tiny.adapters import tiny_adapter, tiny_lora
from edgeswap_compress.importers.tiny.backbones import tiny_base, tiny_controlnet
from edgeswap_compress.importers.tiny.encoders import tiny_recognizer
from edgeswap_compress.importers.tiny.ldm import tiny_ldm
from edgeswap_runtime.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' own, of versions to come

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run edgeswap import in a folder of its own: (exit code, what it printed, what it told)."""
    monkeypatch.chdir(tmp_path)

    def ran(*words: object) -> tuple[int, str, str]:
        code = main(["import", *map(str, words)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return ran


@pytest.fixture
def adapter(given: Path, tmp_path: Path) -> Path:
    return tiny_adapter(tmp_path / "faceid.bin", unet_of(given / "sd4"))


def unet_of(folder: Path) -> Any:
    return UNet2DConditionModel.from_pretrained(folder / "unet")


def faceid(given: Path, adapter: Path, *more: object, base: object = None) -> list[object]:
    """A whole command line that works; what is said later takes the place of what is said here."""
    return [
        "faceid", base or given / "sd4", "out", "--adapter", adapter, "--recognizer",
        given / "recognizer.onnx", "--prompt-embeds", given / "sd4" / "prompt.safetensors",
        "--size", 64, "--steps", 3, "--guidance", 3, "--license", "CC0-1.0", "--origin", "made",
        *more,
    ]  # fmt: skip


def test_what_is_imported_loads_and_says_where_it_comes_from(
    run: Run, given: Path, adapter: Path
) -> None:
    code, out, _ = run(*faceid(given, adapter, "--license", "recognizer=MIT"))
    assert code == 0
    assert "proven: 3 steps as by diffusers' own pipeline" in out and "next: edgeswap" in out
    checkpoint = Checkpoint.load("out")
    swap = checkpoint.swap
    assert swap.attention.kind == "decoupled" and swap.sampling.guidance_scale == 3.0
    stated = {entry.what: (entry.license, entry.origin) for entry in swap.licenses}
    assert stated["recognizer"] == ("MIT", "made") and stated["base"] == ("CC0-1.0", "made")
    assert all(entry.sha256 for entry in swap.licenses)
    assert swap.history[0]["config"]["family"] == "faceid"
    scheduler = json.loads(Path("out/scheduler/scheduler_config.json").read_text())
    assert scheduler["_class_name"] == "PNDMScheduler" and scheduler["steps_offset"] == 1


def test_half_a_base_is_stored_in_half(
    run: Run, given: Path, adapter: Path, tmp_path: Path
) -> None:
    base = tmp_path / "half"
    shutil.copytree(given / "sd4", base)
    for file in base.rglob("*.safetensors"):
        save_file({k: v.half() for k, v in load_file(file).items()}, file)
    assert run(*faceid(given, adapter, base=base))[0] == 0
    assert Checkpoint.load("out").swap.weights_dtype == "float16"


@pytest.mark.parametrize("reface", [False, True])
def test_paint_by_example_and_reface(run: Run, given: Path, tmp_path: Path, reface: bool) -> None:
    file = tiny_ldm(tmp_path / "last.ckpt", reface=reface)
    words: list[object] = [
        "reface", file, "out", "--size", 64, "--steps", 3, "--license", "cc-by-nc", "--origin", "x",
    ]  # fmt: skip
    if reface:
        tiny_recognizer(tmp_path / "landmarks.onnx", size=136)
        words += ["--recognizer", given / "recognizer.onnx"]
        words += ["--landmarks", tmp_path / "landmarks.onnx"]
    code, out, err = run(*words)
    assert code == 0, err
    assert "proven: 3 steps" in out
    swap = Checkpoint.load("out").swap
    assert [(g.role, g.one_is) for g in swap.inputs] == [
        ("noise", None), ("masked_target", None), ("mask", "keep"),
    ]  # fmt: skip
    assert swap.attention.kind == "one_token"


def test_instantid(run: Run, given: Path, tmp_path: Path) -> None:
    xl = given / "xl"
    adapter = tiny_adapter(tmp_path / "ip-adapter.bin", unet_of(xl), "instantid", tokens=16)
    net = tiny_controlnet(tmp_path / "net", xl)
    words = [
        "instantid", xl, "out", "--adapter", adapter, "--controlnet", net, "--recognizer",
        given / "recognizer.onnx", "--prompt-embeds", xl / "prompt.safetensors", "--size", 64,
        "--steps", 4, "--strength", 0.7, "--blend", "latents", "--sampler", "euler",
        "--license", "Apache-2.0", "--origin", "x",
    ]  # fmt: skip
    code, _, err = run(*words)
    assert code == 0, err
    checkpoint = Checkpoint.load("out")
    assert checkpoint.swap.controlnet is not None and checkpoint.controlnet is not None
    assert not checkpoint.swap.features[0].l2


def test_a_single_file_is_read_as_its_folder_is(run: Run, given: Path, tmp_path: Path) -> None:
    """The same weights in one file, under latent diffusion's names."""
    from diffusers import AutoencoderKL

    from edgeswap_compress.importers.tiny.ldm import ldm_state

    vae = AutoencoderKL.from_pretrained(given / "sd4" / "vae")
    state = ldm_state(unet_of(given / "sd4"), vae)
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "model.safetensors")
    adapter = tiny_adapter(tmp_path / "faceid.bin", unet_of(given / "sd4"))
    code, _, err = run(*faceid(given, adapter, base=tmp_path / "model.safetensors"))
    assert code == 0, err
    one = Checkpoint.load("out").unet.state_dict()
    two = unet_of(given / "sd4").state_dict()
    assert all(torch.equal(one[name], two[name]) for name in two)


class Writes:
    def __reduce__(self) -> object:
        return os.mkdir, ("ran",)


def no_config(base: Path, **changes: Any) -> None:
    file = base / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def scheduler(base: Path, **changes: Any) -> None:
    file = base / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: no_config(b, in_channels=7), "found 7, which these groups do not explain"),
        (lambda b: no_config(b, _class_name="FluxTransformer2DModel"), "it is a transformer"),
        (lambda b: no_config(b, _class_name="UNetMotionModel"), "it makes films"),
        (lambda b: no_config(b, _class_name="UNet2DModel"), "nothing can tell it of a source"),
        (lambda b: no_config(b, time_cond_proj_dim=16), "told the guidance scale"),
        (lambda b: scheduler(b, thresholding=True), "thresholding is true, which no table"),
        (lambda b: scheduler(b, clip_sample=True), "clip_sample is true, which no table"),
        (lambda b: scheduler(b, prediction_type="sample_v"), "prediction_type is 'sample_v'"),
        (lambda b: shutil.rmtree(b / "vae"), "has no vae/"),
        (lambda b: shutil.rmtree(b / "scheduler"), "has no scheduler/"),
        (lambda b: shutil.rmtree(b / "unet"), "is no base model"),
        (lambda b: (b / "unet" / "diffusion_pytorch_model.safetensors").unlink(), "there is no"),
    ],
)
def test_a_base_that_cannot_be_imported(
    run: Run, given: Path, adapter: Path, tmp_path: Path, spoil: Any, message: str
) -> None:
    base = tmp_path / "base"
    shutil.copytree(given / "sd4", base)
    spoil(base)
    refused(run(*faceid(given, adapter, base=base)), message)


def refused(answer: tuple[int, str, str], message: str) -> None:
    code, out, err = answer
    assert code == 2, err
    assert err.startswith("edgeswap: ") and err.count("\n") == 1 and out == ""
    assert message in err
    assert not Path("out").exists() and not Path("ran").exists()
    assert not [p for p in Path().iterdir() if p.name.startswith((".out", "out."))]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--adapter", "none.bin"], "adapter none.bin: expected a file, found nothing"),
        (["--adapter", "evil.bin"], "posix.mkdir, which may run code"),
        (["--adapter", "xl.bin"], "does not fit: expected an adapter for 4 cross-attention layers"),
        (["--adapter", "plus.bin"], "expected --image-encoder FILE.onnx, found none"),
        (["--lora", "none.safetensors"], "lora none.safetensors: expected a file"),
        (["--lora", "xl.safetensors"], "does not fit"),
        (["--lora", "te.safetensors"], "it changes the text encoder too"),
        (["--recognizer", "small.onnx"], "an output of shape (1, 128)"),
        (["--recognizer", "junk.onnx"], "expected an ONNX file"),
        (["--recognizer", "none.onnx"], "recognizer none.onnx: expected a file"),
        (["--image-encoder", "clip.onnx"], "leave out --image-encoder"),
        (["--prompt-embeds", "none.safetensors"], "expected a file, found nothing"),
        (["--prompt-embeds", "wide.safetensors"], "the width of the U-Net's cross-attention"),
        (["--prompt-embeds", "one.safetensors"], "found no negative_prompt_embeds"),
        (["--size", "60"], "--size 60: expected a multiple of 16"),
        (["--size", "8"], "--size 8: expected 32 to 2048"),
        (["--strength", "0.1"], "leaves none"),
        (["--strength", "1.5"], "--strength 1.5: expected 0.001 to 1"),
        (["--strength", "0.5", "--begin", "noise"], "--begin noise runs all steps"),
        (["--guidance", "0"], "--guidance 0.0: expected 1 to 1000"),
        (["--scale", "-1"], "--scale -1.0: expected 0 to 10"),
        (["--recognizer-output", "none"], "the name of one of its outputs"),
    ],
)
def test_what_does_not_fit(
    run: Run, given: Path, adapter: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    sd, xl = unet_of(given / "sd4"), unet_of(given / "xl")
    nested = torch.load(adapter, weights_only=True)
    torch.save({**nested, "more": Writes()}, tmp_path / "evil.bin")
    tiny_adapter(tmp_path / "xl.bin", xl)
    tiny_adapter(tmp_path / "plus.bin", sd, "faceid_plus")
    tiny_lora(tmp_path / "xl.safetensors", xl)
    lora = load_file(tiny_lora(tmp_path / "te.safetensors", sd))
    save_file({**lora, "lora_te_x.lora_up.weight": torch.ones(1, 1)}, tmp_path / "te.safetensors")
    tiny_recognizer(tmp_path / "small.onnx", size=128)
    (tmp_path / "junk.onnx").write_bytes(b"hello")
    shutil.copy(given / "image_encoder.onnx", tmp_path / "clip.onnx")
    wide = {name: torch.ones(1, 77, 96) for name in ("prompt_embeds", "negative_prompt_embeds")}
    save_file(wide, tmp_path / "wide.safetensors")
    save_file({"prompt_embeds": torch.ones(1, 77, 64)}, tmp_path / "one.safetensors")
    refused(run(*faceid(given, adapter, *more)), message)


def without(words: list[object], option: str) -> list[object]:
    place = words.index(option)
    return words[:place] + words[place + 2 :]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--recognizer", "expected --recognizer FILE.onnx, found none"),
        ("--license", "the base has no license: expected --license base=TEXT"),
        ("--origin", "the base has no origin: expected --origin base=TEXT"),
    ],
)
def test_what_is_missing(run: Run, given: Path, adapter: Path, option: str, message: str) -> None:
    refused(run(*without(faceid(given, adapter), option)), message)


def test_a_license_of_one_file_does_not_stand_for_another(
    run: Run, given: Path, adapter: Path
) -> None:
    words = without(faceid(given, adapter), "--license")
    told = [word for name in ("base", "adapter") for word in ("--license", f"{name}=MIT")]
    refused(run(*words, *told), "the recognizer has no license")


def test_a_prompt_needs_text_encoders(run: Run, given: Path, adapter: Path) -> None:
    words = without(faceid(given, adapter), "--prompt-embeds")
    refused(run(*words, "--prompt", "a face"), "text_encoder/, which is missing")


def test_an_output_that_exists_is_kept(run: Run, given: Path, adapter: Path) -> None:
    Path("out").mkdir()
    code, _, err = run(*faceid(given, adapter))
    assert code == 2 and "exists" in err and not any(Path("out").iterdir())


@pytest.mark.parametrize("name", [*REFUSED, "RigFace", "face_adapter"])
def test_families_that_cannot_be_are_refused_by_name(run: Run, name: str) -> None:
    refused(run(name, "a", "out"), f"{name} cannot be imported: ")


def test_every_family_has_its_options(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0 and all(name in out for name in FAMILIES)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--recognizer", "RECOGNIZER"], "is told of a picture alone: leave out --recognizer"),
        (["--size", "96"], "expected a multiple of 64"),
        (["--heads", "7"], "of a form that cannot be read from one file"),
    ],
)
def test_what_paint_by_example_does_not_take(
    run: Run, given: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    file = tiny_ldm(tmp_path / "last.ckpt")
    more = [str(given / "recognizer.onnx") if word == "RECOGNIZER" else word for word in more]
    words = ["reface", file, "out", "--size", 64, "--license", "x", "--origin", "x", *more]
    refused(run(*words), message)


def test_reface_needs_its_recognizer_and_a_file_of_its_kind(
    run: Run, given: Path, tmp_path: Path
) -> None:
    told = ["out", "--size", 64, "--license", "x", "--origin", "x"]
    file = tiny_ldm(tmp_path / "last.ckpt", reface=True)
    refused(run("reface", file, *told), "expected --recognizer FILE.onnx, found none")
    other = tiny_adapter(tmp_path / "other.bin", unet_of(given / "sd4"))
    refused(run("reface", other, *told), "a mapper behind CLIP")


def test_a_controlnet_of_another_base_is_refused(run: Run, given: Path, tmp_path: Path) -> None:
    other = tiny_base(tmp_path / "other", xl=True, block_out_channels=(32, 96))
    net = tiny_controlnet(tmp_path / "net", other)
    xl = given / "xl"
    adapter = tiny_adapter(tmp_path / "ip.bin", unet_of(xl), "instantid", tokens=16)
    words = [
        "instantid", xl, "out", "--adapter", adapter, "--controlnet", net, "--recognizer",
        given / "recognizer.onnx", "--prompt-embeds", xl / "prompt.safetensors", "--size", 64,
        "--license", "x", "--origin", "x",
    ]  # fmt: skip
    refused(run(*words), "expected block_out_channels [32, 64]")
