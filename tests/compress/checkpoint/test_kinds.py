"""Checkpoints of every kind: their files, their condition, and what diffusers makes of them."""

from __future__ import annotations

import json
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint._tiny_kinds import KINDS, tiny_kind
from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.folder import verify_checkpoint
from edgeswap_compress.checkpoint.latents import encode_crop
from edgeswap_compress.checkpoint.target_maps import face_pixels, target_maps
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_runtime.cli import main
from edgeswap_runtime.files import sha256_file


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    return {k: tiny_kind(k, folder / f"{k}-files").save(folder / k) for k in KINDS}


def crops(n: int = 1, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target, source = (torch.rand(n, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    return target, source, torch.randn(n, 4, 8, 8, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_gives_the_same_bytes(
    kind: str, kinds: dict[str, Path], tmp_path: Path
) -> None:
    again = Checkpoint.load(kinds[kind]).save(tmp_path / "again")
    files = {p.relative_to(kinds[kind]) for p in kinds[kind].rglob("*") if p.is_file()}
    assert files == {p.relative_to(again) for p in again.rglob("*") if p.is_file()}
    assert all(sha256_file(again / file) == sha256_file(kinds[kind] / file) for file in files)
    assert verify_checkpoint(again) == len(files) - 1
    settings = json.loads((again / "scheduler" / "scheduler_config.json").read_text())
    assert settings["_class_name"] == "PNDMScheduler" and settings["skip_prk_steps"] is True


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_tells_the_parts(
    kind: str, kinds: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(kinds[kind]), "--verify"]) == 0
    told = capsys.readouterr().out
    assert "license      swap model: CC0-1.0 (random numbers)" in told
    assert ("ControlNet" in told) == (kind == "instantid")
    assert "recognizer of recognizer/source" in told
    assert main(["inspect", str(kinds[kind]), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["macs"]["unet"] > 0
    assert "conditions/recognizer.onnx" in facts["sha256"]


def by_hand(checkpoint: Checkpoint, target: Tensor, source: Tensor, noise: Tensor) -> Tensor:
    """The first evaluation of a faceid checkpoint, guided, put together from diffusers' parts."""
    swap, parts = checkpoint.swap, checkpoint.parts
    embedding = F.normalize(
        SwapConditioner.of(checkpoint)
        .parts[1][1]
        .features(  # type: ignore[attr-defined]
            {"recognizer/source": source_crop(checkpoint, source)}
        )[0],
        dim=-1,
    )
    projection = parts["conditions/projection"]
    text = parts["conditions/text.safetensors"]
    own = torch.cat([projection(torch.zeros_like(embedding)), projection(embedding)])
    tokens = torch.cat([text["null_tokens"], text["tokens"]])
    face = face_pixels(swap.mask, 32)
    encoded = checkpoint.vae.encode(target * (1 - face)).latent_dist.mean * 0.18215
    inputs = torch.cat([noise, F.interpolate(face, (8, 8)), encoded], 1).repeat(2, 1, 1, 1)
    both = checkpoint.unet(inputs, torch.tensor(700), (tokens, [own])).sample
    return both[:1] + 2.0 * (both[1:] - both[:1])


def source_crop(checkpoint: Checkpoint, source: Tensor) -> Tensor:
    from edgeswap_compress.checkpoint.pictures import pictures_of

    needed = SwapConditioner.of(checkpoint).crops
    return pictures_of(checkpoint.swap, needed, source, source, {})["recognizer/source"]


@torch.no_grad()
def test_an_evaluation_is_what_its_parts_give(kinds: dict[str, Path]) -> None:
    checkpoint = Checkpoint.load(kinds["faceid"])
    target, source, noise = crops()
    conditioner = SwapConditioner.of(checkpoint)
    pictures = {"recognizer/source": source_crop(checkpoint, source)}
    found = checkpoint.denoiser().guided(
        noise,
        torch.tensor(700),
        target_maps(checkpoint.vae, checkpoint.swap, target),
        conditioner.condition(pictures),
        conditioner.null(1),
        2.0,
    )
    expected = by_hand(checkpoint, target, source, noise)
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.std()))


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_a_condition_matters(kind: str, kinds: dict[str, Path]) -> None:
    """Another source, prompt, hint, adapter scale or ControlNet scale gives another swap."""
    target, source, noise = crops()
    _, other, _ = crops(seed=1)
    checkpoint = Checkpoint.load(kinds[kind])
    first = SwapPipeline.from_checkpoint(checkpoint)(target, source, noise=noise).sample

    def apart(second: Tensor) -> float:
        return float((second - first).abs().max() / first.std())

    again = SwapPipeline.from_checkpoint(checkpoint)(target, source, noise=noise).sample
    assert apart(again) == 0.0
    swapped = SwapPipeline.from_checkpoint(checkpoint)(target, other, noise=noise).sample
    assert apart(swapped) > 1e-3
    if kind == "instantid":
        hint = {"keypoints:model/target": torch.zeros(1, 3, 32, 32)}
        pipeline = SwapPipeline.from_checkpoint(checkpoint)
        assert apart(pipeline(target, source, noise=noise, pictures=hint).sample) > 1e-3


@torch.no_grad()
def test_blending_keeps_the_target_outside_the_mask(kinds: dict[str, Path]) -> None:
    checkpoint = Checkpoint.load(kinds["img2img"])
    target, source, noise = crops(2)
    found = SwapPipeline.from_checkpoint(checkpoint)(target, source, noise=noise).sample
    maps = target_maps(checkpoint.vae, checkpoint.swap, target)
    assert maps.mask is not None and maps.latents is not None
    kept = (maps.mask == 0).expand_as(found)
    assert torch.equal(found[kept], maps.latents[kept])
    assert float((found - maps.latents)[~kept].abs().max()) > 0.1


@torch.no_grad()
def test_a_start_at_the_target_is_diffusers(kinds: dict[str, Path]) -> None:
    """Of three steps a strength of 0.7 leaves two; the first sample is the noised target."""
    checkpoint = Checkpoint.load(kinds["img2img"])
    pipeline = SwapPipeline.from_checkpoint(checkpoint)
    target, source, noise = crops()
    seen: list[Tensor] = []
    inner = checkpoint.unet.forward
    checkpoint.unet.forward = lambda x, t, **rest: (seen.append(x[:1]), inner(x, t, **rest))[1]
    pipeline(target, source, noise=noise)
    scheduler = DDIMScheduler.from_config({**checkpoint.scheduler.config, "steps_offset": 1})
    scheduler.set_timesteps(3)
    latents = encode_crop(checkpoint.vae, checkpoint.swap, target)
    expected = scheduler.add_noise(latents, noise, scheduler.timesteps[1:2])
    assert len(seen) == 2 and torch.allclose(seen[0], expected, atol=1e-6)


def edited(source: Path, folder: Path, file: str, **changes: Any) -> Path:
    import shutil

    shutil.copytree(source, folder)
    raw = json.loads((folder / file).read_text())
    for place, value in changes.items():
        *inside, name = place.split(".")
        steps = [int(step) if step.isdigit() else step for step in inside]
        reduce(getitem, steps, raw)[name] = value  # type: ignore[call-overload, arg-type]
    (folder / file).write_text(json.dumps(raw))
    return folder


@pytest.mark.parametrize(
    ("kind", "file", "changes", "message"),
    [
        ("faceid", "swap.json", {"attention.tokens": 3}, "expected the 3 adapter tokens"),
        ("faceid", "swap.json", {"conditions.1.features.0.crop": "x"}, "features: crop"),
        ("faceid", "swap.json", {"conditions.1.folder": "conditions/none"}, "found no file"),
        ("faceid", "swap.json", {"conditions.1.gives": "vector"}, "expected a projection that"),
        ("faceid", "swap.json", {"conditions.1.null": "learned"}, "learned"),
        ("faceid", "conditions/projection/config.json", {"width": 8}, "shape"),
        ("faceid", "conditions/projection/config.json", {"depth": 10**9}, "depth is 1000000000"),
        ("faceid", "conditions/projection/config.json", {"_class_name": "Pickle"}, "one of"),
        ("faceid", "conditions/projection/config.json", {"kind": "x"}, "expected one of"),
        ("one_token", "swap.json", {"attention.kind": "decoupled"}, "attention: tokens"),
        ("instantid", "swap.json", {"controlnet": None}, "a ControlNet"),
        ("instantid", "controlnet/config.json", {"in_channels": 5}, "in_channels: expected 4"),
        ("instantid", "controlnet/config.json", {"block_out_channels": [16, 16]}, "block_out_ch"),
        ("img2img", "swap.json", {"sample.target": "residual", "sample.std": [1.0] * 4}, "blend"),
        ("img2img", "swap.json", {"conditions.1.features.0.of": "target"}, "looks at the source"),
        ("img2img", "scheduler/scheduler_config.json", {"beta_start": 7}, "beta_start is 7"),
    ],
)
def test_bad_configs_are_named_in_one_line(
    kind: str, file: str, changes: dict[str, Any], message: str, kinds: dict[str, Path],
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = edited(kinds[kind], tmp_path / "edited", file, **changes)
    assert main(["inspect", str(folder)]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert message in error


def test_a_missing_recognizer_is_named(kinds: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(kinds["faceid"], tmp_path / "edited", "swap.json")
    (folder / "conditions" / "recognizer.onnx").unlink()
    with pytest.raises(InvalidCheckpoint, match=r"recognizer\.onnx: expected an ONNX file"):
        Checkpoint.load(folder)


def test_an_embedding_of_another_width_is_named(kinds: dict[str, Path], tmp_path: Path) -> None:
    from edgeswap_compress.checkpoint._tiny_kinds import tiny_recognizer

    folder = edited(kinds["faceid"], tmp_path / "edited", "swap.json")
    tiny_recognizer(folder / "conditions" / "recognizer.onnx", 28, 13)
    checkpoint = Checkpoint.load(folder)
    target, source, noise = crops()
    with pytest.raises(InvalidCheckpoint, match=r"\(1, 13\)"):
        SwapPipeline.from_checkpoint(checkpoint)(target, source, noise=noise)


def test_a_file_that_is_no_onnx_is_named(kinds: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(kinds["faceid"], tmp_path / "edited", "swap.json")
    (folder / "conditions" / "recognizer.onnx").write_bytes(b"PK\x03\x04 no onnx")
    target, source, noise = crops()
    with pytest.raises(InvalidCheckpoint, match="expected an ONNX file"):
        SwapPipeline.from_checkpoint(Checkpoint.load(folder))(target, source, noise=noise)


def test_constants_of_two_shapes_are_named(kinds: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(kinds["faceid"], tmp_path / "edited", "swap.json")
    text = {"tokens": torch.zeros(1, 5, 16), "null_tokens": torch.zeros(1, 4, 16)}
    save_file(text, folder / "conditions" / "text.safetensors", {"format": "pt"})
    with pytest.raises(InvalidCheckpoint, match=r"one shape, found \(1, 5, 16\) and \(1, 4, 16\)"):
        Checkpoint.load(folder)
    del text["null_tokens"]
    save_file(text, folder / "conditions" / "text.safetensors", {"format": "pt"})
    with pytest.raises(InvalidCheckpoint, match="expected null_tokens, found none"):
        Checkpoint.load(folder)


def test_a_plugin_that_is_not_installed_is_named() -> None:
    from edgeswap_compress.conditioning.plugins import load_plugin
    from edgeswap_compress.conditioning.specs import PluginSpec

    spec = PluginSpec(entry="mine", folder="conditions/mine")
    with pytest.raises(InvalidCheckpoint, match=r"entry point of edgeswap\.conditioners"):
        load_plugin(spec, Path())


def test_the_packaged_family_is_one_instance() -> None:
    swap = tiny_checkpoint().swap
    assert swap.has_source_encoder and not swap.features
    assert [part.kind for part in swap.conditions] == ["source_encoder"]


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_with_the_packaged_kind_alone(
    kind: str, kinds: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", str(tmp_path), str(tmp_path / "out"), "--held-out", str(tmp_path)]
    assert main([*line, "--init", str(kinds[kind])]) == 2
    error = capsys.readouterr().err
    assert "goes on with the packaged models' kind alone" in error
    assert "edgeswap distill, prune or personalize" in error
    assert len(error.strip().splitlines()) == 1
