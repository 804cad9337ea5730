"""Weights that are no numbers, or that give none, are refused: exit code 2, the place named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_runtime.cli import main

PLACES = {
    "unet": "conv_in.weight",
    "vae": "encoder.conv_in.weight",
    "conditioner": "stem.weight",
}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", PLACES)
def test_a_weight_that_is_no_number_is_named(
    part: str, value: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tiny_checkpoint()
    state = getattr(checkpoint, part).state_dict()
    name = PLACES[part] if PLACES[part] in state else next(iter(state))
    with torch.no_grad():
        state[name].view(-1)[0] = value
    checkpoint.save(tmp_path / "spoiled")
    assert main(["export", str(tmp_path / "spoiled"), str(tmp_path / "b"), "--no-detector"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"/{part}/" in last and f"{name}: expected numbers, found NaN or infinity" in last
    assert not (tmp_path / "b").exists()


def test_finite_weights_that_overflow_are_the_checkpoints_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tiny_checkpoint()
    with torch.no_grad():
        for weight in checkpoint.vae.parameters():
            weight.fill_(6e4)
    checkpoint.save(tmp_path / "huge")
    assert main(["export", str(tmp_path / "huge"), str(tmp_path / "b"), "--no-detector"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "what torch computes from its weights as" in last and "found NaN or infinity" in last


def test_a_bare_unet_likewise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unet = tiny_checkpoint().unet
    with torch.no_grad():
        unet.conv_out.bias[0] = float("inf")
    unet.save_pretrained(tmp_path / "unet")
    assert main(["export", str(tmp_path / "unet"), str(tmp_path / "b")]) == 2
    assert "conv_out.bias holds NaN or infinite values" in capsys.readouterr().err.splitlines()[-1]
