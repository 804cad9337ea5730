"""Checkpoints: byte-identical round trips, and every damage named."""

from __future__ import annotations

import hashlib
import json
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgeswap_compress import Checkpoint, SwapPipeline, default_checkpoint
from edgeswap_compress.checkpoint import defaults
from edgeswap_compress.checkpoint.folder import verify_checkpoint
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.errors import CompressError, InvalidCheckpoint
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import BadFolder, OutputExists

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_checkpoint().save(tmp_path / "checkpoint")


def hashes(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def edit_json(file: Path, **changes: object) -> None:
    raw = json.loads(file.read_text())
    for place, value in changes.items():
        *inside, name = place.split(".")
        reduce(getitem, inside, raw)[name] = value
    file.write_text(json.dumps(raw))


NOISE = {"role": "noise", "channels": 4}


def test_save_load_save_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = Checkpoint.load(folder).save(tmp_path / "again")
    assert hashes(again) == hashes(folder)


def test_loaded_checkpoint_swaps_like_the_original(folder: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    target, source = torch.rand(2, 2, 3, 24, 24, generator=generator) * 2 - 1
    noise = torch.randn(2, 4, 4, 4, generator=generator)
    pipelines = [
        SwapPipeline.from_checkpoint(model)
        for model in (tiny_checkpoint(), Checkpoint.load(folder))
    ]
    first, second = (pipeline(target, source, noise=noise) for pipeline in pipelines)
    assert torch.equal(first.crops, second.crops)
    assert first.crops.shape == (2, 3, 24, 24)
    assert first.crops.std() > 0


def test_guidance_changes_the_swap_and_scale_one_does_not() -> None:
    pipeline = SwapPipeline.from_checkpoint(tiny_checkpoint(guidance_scale=2.0))
    generator = torch.Generator().manual_seed(0)
    target, source = torch.rand(2, 1, 3, 24, 24, generator=generator) * 2 - 1
    noise = torch.randn(1, 4, 4, 4, generator=generator)
    guided = pipeline(target, source, noise=noise).sample
    plain = pipeline(target, source, noise=noise, guidance_scale=1.0).sample
    nearly = pipeline(target, source, noise=noise, guidance_scale=1.0 + 1e-6).sample
    assert not torch.allclose(guided, plain, atol=1e-3)
    # 1e-4: batch of two against batch of one, four steps, float32
    assert torch.allclose(nearly, plain, atol=1e-4)


def test_existing_output_is_left_alone(folder: Path) -> None:
    before = hashes(folder)
    with pytest.raises(OutputExists, match="already exists"):
        tiny_checkpoint(seed=1).save(folder)
    assert hashes(folder) == before


def test_missing_tensor_is_named(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    del tensors["conv_in.weight"]
    save_file(tensors, folder / UNET, {"format": "pt"})
    with pytest.raises(InvalidCheckpoint, match=r"conv_in\.weight"):
        Checkpoint.load(folder)


def test_unknown_tensor_is_named(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    tensors["stray"] = torch.zeros(1)
    save_file(tensors, folder / UNET, {"format": "pt"})
    with pytest.raises(InvalidCheckpoint, match="stray"):
        Checkpoint.load(folder)


def test_wrong_shape_and_dtype_are_named(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    shape = tensors["conv_out.bias"].shape
    tensors["conv_out.bias"] = torch.zeros(shape[0] + 1, dtype=torch.float16)
    save_file(tensors, folder / UNET, {"format": "pt"})
    with pytest.raises(InvalidCheckpoint, match=r"conv_out\.bias: shape.*\(4,\).*\(5,\)"):
        Checkpoint.load(folder)
    tensors["conv_out.bias"] = torch.zeros(shape, dtype=torch.float32)
    save_file(tensors, folder / UNET, {"format": "pt"})
    with pytest.raises(InvalidCheckpoint, match=r"conv_out\.bias: dtype.*float16.*float32"):
        Checkpoint.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 99}, "schema 2, found 99"),
        ({"schema": 1}, "schema 2, found 1"),
        ({"surprise": 1}, "surprise"),
        ({"inputs": [NOISE, {"role": "depth", "channels": 4}]}, "role: expected one of"),
        ({"inputs": [NOISE, {"role": "target", "channels": 3}]}, "of target: expected 4, found 3"),
        ({"inputs": [NOISE, NOISE]}, "expected one group of noise"),
        ({"inputs": [NOISE, {"role": "mask", "channels": 1}]}, "one_is: expected one of"),
        ({"sample.std": [1.0]}, "sample: std: expected 4 numbers, found 1"),
        ({"sample.target": "picture"}, "sample: target: expected one of"),
        ({"weights_dtype": "int4"}, "weights_dtype"),
        ({"sampling.guidance_scale": 0.5}, "guidance_scale"),
        ({"sampling.steps": 0}, "sampling.steps is 0"),
        ({"sampling.start": {"at": "noise", "strength": 0.5}}, "strength of a start at noise"),
        ({"sampling.blend": "pixels"}, "blend: expected one of"),
        ({"crops": {}}, "crops has 0 items"),
        ({"crops.other": "x", "crops.model.color": "BGR"}, "crops"),
        ({"crops.model.color": "BGR"}, "mean and std of 0.5, color RGB"),
        ({"crops.model.landmarks_px": [[1, 2]]}, "landmarks_px"),
        ({"conditions": []}, "conditions has 0 items"),
        ({"conditions": [{}]}, "has no kind, expected one of"),
        ({"conditions": [{"kind": "horoscope"}]}, "has kind 'horoscope', expected one of"),
        ({"conditions": [{"kind": "constant_tokens", "file": "../x.safetensors"}]}, "a file cond"),
        ({"attention.kind": "decoupled"}, "attention: tokens: expected 1 or more, found 0"),
        ({"attention": {"kind": "decoupled", "tokens": 4}}, "a projection that gives adapter_tok"),
        ({"controlnet": {"hint": "canny"}}, "controlnet: hint: expected one of"),
        ({"controlnet": {}}, "controlnet/config.json"),
        ({"mask": {"center_px": [1, 2], "wings": 2}}, "wings"),
        ({"mask": 5}, "mask is of type int, expected dict"),
        ({"latents.patch_size": True}, "patch_size is of type bool, expected int"),
        ({"latents.size": 10**9}, "latents.size is 1000000000, expected 1 to 2 048"),
        ({"history": [1]}, r"history\[0\] is of type int, expected dict"),
        ({"latents.patch_size": 2}, "in_channels: expected 12, found 27"),
    ],
)
def test_bad_swap_json_is_named(folder: Path, changes: dict[str, object], message: str) -> None:
    edit_json(folder / "swap.json", **changes)
    with pytest.raises(InvalidCheckpoint, match=message):
        Checkpoint.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestep_spacing": 10**9}, "expected one of leading, trailing, linspace"),
        ({"num_train_timesteps": -1}, "expected an integer from 1 to 10000"),
        ({"trained_betas": []}, "expected a list of 1 to 10000 values"),
        ({"prediction_type": None}, "expected one of epsilon, sample, v_prediction"),
    ],
)
def test_bad_schedules_are_named(folder: Path, changes: dict[str, object], message: str) -> None:
    edit_json(folder / "scheduler" / "scheduler_config.json", **changes)
    with pytest.raises(InvalidCheckpoint, match=message):
        Checkpoint.load(folder)


def test_parts_that_do_not_run_together_are_told_before_weights_are_read(folder: Path) -> None:
    edit_json(folder / "unet" / "config.json", class_embed_type="timestep")
    with pytest.raises(InvalidCheckpoint, match=r"expected a module that swap\.json fits"):
        Checkpoint.load(folder)


def test_damaged_files_are_named(folder: Path) -> None:
    (folder / "swap.json").write_text("{")
    with pytest.raises(InvalidCheckpoint, match="valid JSON"):
        Checkpoint.load(folder)


def test_truncated_weights_are_named(folder: Path) -> None:
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidCheckpoint, match="safetensors"):
        Checkpoint.load(folder)


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match=r"is no checkpoint: expected a folder with swap\.json"):
        Checkpoint.load(tmp_path)


def test_unknown_default_is_named() -> None:
    with pytest.raises(CompressError, match="expected one of"):
        default_checkpoint("janitor")


def test_a_missing_default_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a checkout the folders are those of edgeswap-checkpoints, if that is installed."""
    monkeypatch.setattr(defaults, "__file__", str(tmp_path / "defaults.py"))
    with pytest.raises(CompressError, match=r"edgeswap-checkpoints; type python -m pip install"):
        default_checkpoint("teacher")
    (tmp_path / "site" / defaults.PACKAGE / "teacher").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert default_checkpoint("teacher") == tmp_path / "site" / defaults.PACKAGE / "teacher"


def test_inspect_prints_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"]["unet"] > 0
    assert facts["macs"]["unet"] > 0
    assert facts["history"][0]["stage"] == "tiny"


def test_inspect_of_a_damaged_checkpoint_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = load_file(folder / UNET)
    del tensors["conv_in.weight"]
    save_file(tensors, folder / UNET, {"format": "pt"})
    assert main(["inspect", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert "conv_in.weight" in captured.err


def test_verify_counts_files_and_names_an_altered_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(folder), "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified_files"] == 8
    data = bytearray((folder / UNET).read_bytes())
    data[-1] ^= 1  # still a valid tensor: only the hash can tell
    (folder / UNET).write_bytes(data)
    assert main(["inspect", str(folder)]) == 0
    capsys.readouterr()
    assert main(["inspect", str(folder), "--verify"]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert "sha256" in error
    assert UNET in error


def test_verify_names_a_stray_file(folder: Path) -> None:
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(InvalidCheckpoint, match=r"notes\.txt"):
        verify_checkpoint(folder)
