"""The network behind a decoder: what it begins as, how it is kept, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.autoencoders import TargetOverlay, laid_over
from edgeswap_compress.checkpoint.inspect import describe
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.errors import InvalidCheckpoint


def overlay_of(patch: int = 3, seed: int = 0) -> TargetOverlay:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        overlay = TargetOverlay(patch_size=patch, widths=(8, 8, 16)).eval()
    return torch.nn.Module.to(torch.nn.Module.to(overlay, torch.float16), torch.float32)


def pictures(n: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.rand(n, 3, 24, 24, generator=generator) * 2 - 1 for _ in range(2))  # type: ignore[return-value]


def test_an_untrained_one_leaves_the_crop_as_it_was_decoded() -> None:
    decoded, target = pictures()
    crop, alpha = overlay_of()(decoded, target)
    assert torch.equal(crop, decoded)
    assert alpha.shape == (2, 1, 24, 24)
    assert torch.allclose(alpha, torch.sigmoid(torch.tensor(2.0)).expand_as(alpha), atol=1e-3)


def test_the_target_decides_alpha_and_every_weight_learns() -> None:
    overlay, (decoded, target) = overlay_of(), pictures()
    torch.nn.init.normal_(overlay.write.weight, std=0.1)
    crop, alpha = overlay(decoded, target)
    assert not torch.allclose(alpha, overlay(decoded, -target)[1])
    (crop.sum() + alpha.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in overlay.parameters())


def test_alpha_lays_the_crop_over_the_target() -> None:
    crop, target = pictures()
    alpha = torch.zeros(2, 1, 24, 24)
    alpha[..., :12] = 1.0
    shown = laid_over(crop, alpha, target)
    assert torch.equal(shown[..., 12:], target[..., 12:])
    assert torch.allclose(shown[..., :12], crop[..., :12], atol=1e-6)
    assert laid_over(crop, None, target) is crop


def test_a_checkpoint_keeps_it_and_the_pipeline_gives_alpha(tmp_path: Path) -> None:
    model = dataclasses.replace(tiny_checkpoint(), overlay=overlay_of())
    path = model.save(tmp_path / "model")
    loaded = Checkpoint.load(path)
    again = loaded.save(tmp_path / "again")
    for file in path.rglob("*"):
        assert (
            not file.is_file() or file.read_bytes() == (again / file.relative_to(path)).read_bytes()
        )
    target, source = pictures()
    noise = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(2))
    found = SwapPipeline.from_checkpoint(loaded)(target, source, noise=noise)
    plain = SwapPipeline.from_checkpoint(tiny_checkpoint())(target, source, noise=noise)
    assert plain.alpha is None and found.alpha is not None
    assert torch.equal(found.crops, plain.crops)
    told = describe(path)
    assert told["parameters"]["overlay"] > 0 and told["macs"]["overlay"] > 0


def test_patches_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = dataclasses.replace(tiny_checkpoint(), overlay=overlay_of(patch=4))
    path = model.save(tmp_path / "model")
    with pytest.raises(
        InvalidCheckpoint, match=r"overlay/config.json.*patches that crops of 24 px"
    ):
        Checkpoint.load(path)


def test_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = dataclasses.replace(tiny_checkpoint(), overlay=overlay_of()).save(tmp_path / "model")
    config = path / "overlay" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "widths": [8, 8]}))
    with pytest.raises(InvalidCheckpoint, match="overlay"):
        Checkpoint.load(path)
