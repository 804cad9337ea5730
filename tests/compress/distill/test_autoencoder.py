"""A small autoencoder that speaks a large one's latents, and a student that sees through it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint.inspect import describe
from edgeswap_compress.checkpoint.latents import encode_crop, works_normalized
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.distill import _compatibility, _inputs
from edgeswap_compress.distill._compatibility import check_autoencoder
from edgeswap_compress.distill.autoencoder import checks
from edgeswap_compress.distill.autoencoder import stage as shrinking
from edgeswap_compress.distill.autoencoder.config import SmallAutoencoderConfig
from edgeswap_compress.distill.autoencoder.small_autoencoder import build_small_autoencoder
from edgeswap_compress.distill.autoencoder.stage import shrink_autoencoder
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.stage import distill, load_student
from edgeswap_compress.errors import InvalidCheckpoint, InvalidSettings, TrainingStopped
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.fit.loop import Cadence
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import OutputExists

CONFIG = changed(
    SmallAutoencoderConfig(),
    {
        "size.patch_size": 6,
        "size.width": 16,
        "size.encoder_blocks": 1,
        "size.decoder_blocks": 1,
        "budget.samples": 24 * 40,
        "fit.dtype": "float32",
    },
)


@pytest.fixture(autouse=True)
def dataset(noise_dataset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_inputs, shrinking):
        monkeypatch.setattr(module, "open_pictures", lambda path, loose: noise_dataset)
    for module in (_compatibility, checks):
        monkeypatch.setattr(module, "check_pictures", lambda path, swap: noise_dataset)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tiny_checkpoint().save(tmp_path / "large")


def shrink(path: Path, folder: Path, config: SmallAutoencoderConfig = CONFIG, **more: Any) -> Any:
    return shrink_autoencoder(
        path, config, folder / "small", data=Path(), run=folder / "run", **more
    )


def test_the_small_encoder_learns_the_large_ones_latents(
    checkpoint: Path, tmp_path: Path, noise_dataset: Any
) -> None:
    out = shrink(checkpoint, tmp_path)
    large, small = Checkpoint.load(checkpoint), Checkpoint.load(out)
    assert works_normalized(small.vae) and small.swap.patch_size == 6
    crops = to_tensor(noise_dataset.images(0))
    wanted = encode_crop(large.vae, large.swap, crops).detach()
    untrained = build_small_autoencoder(CONFIG, large.swap)

    @torch.no_grad()
    def missed(vae: Any) -> float:
        return float((encode_crop(vae, small.swap, crops) - wanted).square().mean())

    assert missed(small.vae) < 0.5 * missed(untrained)
    for name in ("unet", "conditioner"):
        first, second = (getattr(c, name).state_dict() for c in (large, small))
        assert all(torch.equal(first[key], second[key]) for key in first)
    entry = small.swap.history[-1]
    assert entry["stage"] == "distill-autoencoder"
    assert entry["config"]["macs"]["decoder"] > 0
    assert {"large_psnr_face_db", "both_hf_ratio", "latents_gone"} <= set(
        entry["config"]["figures"]
    )


def test_a_stopped_run_goes_on_to_the_same_weights(checkpoint: Path, tmp_path: Path) -> None:
    config = changed(CONFIG, {"budget.samples": 24 * 4})
    whole = shrink(checkpoint, tmp_path / "whole", config)
    parts = tmp_path / "parts"
    assert shrink(checkpoint, parts, config, cadence=Cadence(stop_after_s=0.0)) is None
    assert not (parts / "small").exists()
    again = shrink(checkpoint, parts, config)
    first, second = (Checkpoint.load(path).vae.state_dict() for path in (whole, again))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_goes_on_in_another_dtype(checkpoint: Path, tmp_path: Path) -> None:
    config = changed(CONFIG, {"budget.samples": 24 * 2, "fit.dtype": "bfloat16"})
    assert shrink(checkpoint, tmp_path, config, cadence=Cadence(stop_after_s=0.0)) is None
    out = shrink(checkpoint, tmp_path, changed(config, {"fit.dtype": "float32"}))
    history = Checkpoint.load(out).swap.history[-1]["config"]
    assert history["fit"]["dtype"] == "bfloat16, float32"


@pytest.mark.parametrize("lent", [False, True])
def test_a_student_learns_behind_the_small_encoder(
    checkpoint: Path, tmp_path: Path, lent: bool
) -> None:
    """Its own latents of the target are not the teacher's; the swap is the teacher's still."""
    small = shrink(checkpoint, tmp_path, changed(CONFIG, {"budget.samples": 24 * 10}))
    config = changed(
        DistillConfig(),
        {
            "budget.samples": 16 * 40,
            "teacher.targets": 64,
            "fit.batch_size": 16,
            "teacher.steps": 2,
            "losses.truth_weight": 0.0,
            "losses.identity.weight": 0.0,
            "fit.learning_rate": 2e-3,
            "fit.dtype": "float32",
            "decoder.share": 0.0,
        },
    )
    run = tmp_path / "distill"
    start, autoencoder = (checkpoint, small) if lent else (small, None)
    out = distill(
        checkpoint, config, tmp_path / "student", student=start, data=Path(), run=run,
        autoencoder=autoencoder,
    )  # fmt: skip
    assert out is not None
    student = Checkpoint.load(out)
    assert works_normalized(student.vae) and student.swap.patch_size == 6
    stages = [entry["stage"] for entry in student.swap.history]
    assert stages == ["tiny", "distill-autoencoder", "distill"]
    assert (run / "student-latents.safetensors").exists()
    last = json.loads((run / "fit" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["fixed_to_teacher"] < 0.8 * last["fixed_teacher_to_truth"]


@pytest.mark.parametrize("patch", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_a_bundle_swaps_with_the_small_autoencoder_as_torch_does(
    checkpoint: Path, tmp_path: Path, patch: int
) -> None:
    from edgeswap_export import ExportConfig, SchedulesConfig, export
    from edgeswap_runtime import Swapper

    small = shrink(
        checkpoint, tmp_path, changed(CONFIG, {"budget.samples": 24, "size.patch_size": patch})
    )
    assert describe(small)["macs"]["decoder"] > 0
    export(
        small,
        ExportConfig(schedules=SchedulesConfig(steps=1, others=()), detector=False),
        tmp_path / "bundle",
    )
    rng = np.random.default_rng(0)
    target, source = rng.integers(0, 255, (2, 24, 24, 3), dtype=np.uint8)
    noise = rng.normal(size=(1, 4, 4, 4)).astype(np.float32)
    with Swapper.open(tmp_path / "bundle") as swapper:
        found = swapper.swap_crop(target, swapper.identity_of_crops([source]), noise=noise)
    wanted = SwapPipeline.from_checkpoint(Checkpoint.load(small))(
        to_tensor(target[None]), to_tensor(source[None]), noise=torch.from_numpy(noise),
        num_inference_steps=1,
    ).crops[0]  # fmt: skip
    apart = (wanted.permute(1, 2, 0).numpy() + 1) * 127.5 - found
    assert np.abs(apart).max() <= 1.0  # the runtime rounds to whole gray levels


def test_the_command_tells_what_was_gained(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["distill", "autoencoder", str(checkpoint), str(tmp_path / "small"), "--samples",
                 "48", "--width", "16", "--encoder-blocks", "1", "--decoder-blocks", "1", "--dtype",
                 "float32"]  # fmt: skip
    assert main([*arguments, "--stop-after", "0"]) == 0
    assert "the same command continues" in capsys.readouterr().out
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "dB in the face" in told and "MMACs" in told
    assert main(arguments) == 2
    assert "exists" in capsys.readouterr().err


def test_what_it_refuses(checkpoint: Path, tmp_path: Path) -> None:
    short = changed(CONFIG, {"budget.samples": 24})
    small = shrink(checkpoint, tmp_path, short)
    with pytest.raises(InvalidCheckpoint, match="AutoencoderKL to learn from"):
        shrink(small, tmp_path / "again", short)
    with pytest.raises(InvalidCheckpoint, match="edgeswap distill autoencoder makes one"):
        load_student(checkpoint, checkpoint)
    swap = tiny_checkpoint().swap
    with pytest.raises(InvalidCheckpoint, match="channels and size of the latents"):
        other = dataclasses.replace(swap.latents, size=8)
        check_autoencoder(small, dataclasses.replace(swap, latents=other), swap)
    with pytest.raises(OutputExists):
        shrink(checkpoint, tmp_path, short)
    with pytest.raises(TrainingStopped, match="another distillation"):
        shrink_autoencoder(
            checkpoint,
            changed(short, {"fit.seed": 3}),
            tmp_path / "other",
            data=Path(),
            run=tmp_path / "run",
        )


@pytest.mark.parametrize("patch", [5, 9, 48])
def test_patches_must_lead_to_the_latents_size(patch: int) -> None:
    config = changed(CONFIG, {"size.patch_size": patch})
    with pytest.raises(InvalidSettings, match="try --patch-size 6"):
        build_small_autoencoder(config, tiny_checkpoint().swap)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size.width": 0}, "width 0: expected 1 to 4096"),
        ({"losses.latent_noise": -1.0}, "latent_noise -1.0: expected 0 to 1000000"),
        ({"budget.minutes": 0.0}, "minutes 0.0: expected 0.0001 to 100000"),
        (
            {"budget.samples": 23},
            "23 samples make no batch: expected --samples of at least the batch",
        ),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        changed(SmallAutoencoderConfig(), settings)
