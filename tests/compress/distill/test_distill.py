"""Distillation: a student that follows its teacher, stopped and continued, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.distill import _compatibility, _inputs, phases
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.material.trajectories import student_timesteps
from edgeswap_compress.distill.stage import distill
from edgeswap_compress.errors import InvalidCheckpoint, InvalidSettings, TrainingStopped
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.loop import Cadence
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.pictures.sheet import SheetStyle

CONFIG = changed(
    DistillConfig(),
    {
        "budget.samples": 16 * 60,
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


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return tiny_checkpoint(guidance_scale=1.5).save(tmp_path / "teacher")


@pytest.fixture(autouse=True)
def dataset(noise_dataset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inputs, "open_pictures", lambda path, loose: noise_dataset)
    monkeypatch.setattr(_compatibility, "check_pictures", lambda path, swap: noise_dataset)


def run(teacher: Path, folder: Path, config: DistillConfig = CONFIG, student: Any = None) -> Path:
    return distill(
        teacher, config, folder / "student", student=student, data=Path(), run=folder / "run"
    )


def test_the_student_comes_closer_to_its_teacher(teacher: Path, tmp_path: Path) -> None:
    out = run(teacher, tmp_path)
    student = Checkpoint.load(out)
    assert student.swap.guidance_scale == 1.0
    assert student.swap.default_steps == 1
    assert student.swap.history[-1]["stage"] == "distill"
    generator = torch.Generator().manual_seed(0)
    target, source = torch.rand(2, 4, 3, 24, 24, generator=generator) * 2 - 1
    noise = torch.randn(4, 4, 4, 4, generator=generator)
    master = Checkpoint.load(teacher)
    wanted = SwapPipeline.from_checkpoint(master)(
        target, source, noise=noise, num_inference_steps=2
    ).sample
    before = SwapPipeline.from_checkpoint(master)(
        target, source, noise=noise, num_inference_steps=1, guidance_scale=1.0
    ).sample
    after = SwapPipeline.from_checkpoint(student)(target, source, noise=noise).sample
    assert (after - wanted).square().mean() < 0.9 * (before - wanted).square().mean()


def test_a_continued_distillation_ends_in_the_same_weights(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = changed(CONFIG, {"budget.samples": 16 * 24})
    whole = run(teacher, tmp_path / "whole", config)
    parts = tmp_path / "parts"
    real = phases.fit
    calls = []

    def killed(*args: Any, **kwargs: Any) -> bool:
        calls.append(kwargs["cadence"])
        if len(calls) == 1:
            cadence = dataclasses.replace(kwargs["cadence"], save_s=0.0, stop_after_s=0.1)
            real(*args, **{**kwargs, "cadence": cadence})
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(phases, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        run(teacher, parts, config)
    assert not (parts / "student").exists()
    again = run(teacher, parts, config)
    for name in ("unet", "conditioner"):
        first, second = (
            getattr(Checkpoint.load(path), name).state_dict() for path in (whole, again)
        )
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_truths_and_identity_join_where_they_are_wanted(teacher: Path, tmp_path: Path) -> None:
    config = changed(
        CONFIG,
        {
            "budget.samples": 64,
            "losses.truth_weight": 0.5,
            "losses.identity.weight": 0.5,
            "steps": 2,
        },
    )
    run(teacher, tmp_path, config)
    lines = (tmp_path / "run" / "fit" / "metrics.jsonl").read_text().splitlines()
    row = json.loads(lines[-1])
    assert {"to_teacher", "to_truth", "to_teacher_identity", "to_truth_identity"} <= set(row)
    assert row["fixed_to_truth"] > 0
    with Image.open(tmp_path / "run" / "preview.png") as sheet:
        assert sheet.size == (5 * 24, 8 * 24 + SheetStyle().line_px)  # a line of titles above


def test_the_decoder_learns_from_the_students_own_swaps(teacher: Path, tmp_path: Path) -> None:
    config = changed(CONFIG, {"budget.samples": 16 * 16, "decoder.share": 0.5})
    alone = changed(config, {"budget.samples": 16 * 8, "decoder.share": 0.0})
    plain = run(teacher, tmp_path / "plain", alone)
    out = run(teacher, tmp_path, config)
    before, after = Checkpoint.load(plain), Checkpoint.load(out)
    for name in ("unet", "conditioner"):
        first, second = (getattr(c, name).state_dict() for c in (before, after))
        assert all(torch.equal(first[key], second[key]) for key in first)
    first, second = before.vae.state_dict(), after.vae.state_dict()
    learned = {key.split(".")[0] for key in first if not torch.equal(first[key], second[key])}
    assert learned == {"decoder"}
    lines = (tmp_path / "run" / "decoder" / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert last["psnr_face_db"] > 0
    assert {"fine", "adversarial", "discriminator", "verdict_gap"} <= set(last)
    figures = after.swap.history[-1]["config"]["figures"]
    assert {"fixed_to_truth", "decoder_psnr_face_db", "decoder_hf_ratio"} <= set(figures)


def test_a_finished_students_decoder_learns_alone(teacher: Path, tmp_path: Path) -> None:
    config = changed(CONFIG, {"budget.samples": 16 * 4, "decoder.share": 1.0})
    out = run(teacher, tmp_path, config)
    before, after = Checkpoint.load(teacher), Checkpoint.load(out)
    first, second = (c.unet.state_dict() for c in (before, after))
    assert all(torch.equal(first[key], second[key]) for key in first)
    first, second = (c.vae.decoder.state_dict() for c in (before, after))
    assert any(not torch.equal(first[key], second[key]) for key in first)
    assert not (tmp_path / "run" / "fit").exists()
    assert after.swap.history[-1]["config"]["samples"] == 0


def test_picture_discriminator_and_decoder_learn_against_each_other(
    teacher: Path, tmp_path: Path
) -> None:
    config = changed(CONFIG, {"budget.samples": 16 * 8, "decoder.share": 0.5})
    without = changed(config, {"decoder.adversarial_weight": 0.0})
    outs = [
        run(teacher, tmp_path / name, c) for name, c in (("with", config), ("without", without))
    ]
    decoders = [Checkpoint.load(out).vae.state_dict() for out in outs]
    assert any(not torch.equal(decoders[0][key], decoders[1][key]) for key in decoders[0])
    names = [
        set(load_file(tmp_path / name / "run" / "decoder" / "state.safetensors"))
        for name in ("with", "without")
    ]
    assert any("discriminator.layers" in name for name in names[0])
    assert not any("discriminator" in name for name in names[1])


def test_minutes_become_a_number_of_steps_that_a_continued_run_keeps(
    teacher: Path, tmp_path: Path
) -> None:
    config = changed(CONFIG, {"budget.samples": None, "budget.minutes": 0.001})
    run(teacher, tmp_path, config)
    steps = json.loads((tmp_path / "run" / "fit.json").read_text())["steps"]
    assert steps >= 10
    history = Checkpoint.load(tmp_path / "student").swap.history[-1]["config"]
    assert history["samples"] == steps * config.fit.batch_size
    assert history["figures"]["step"] == steps


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"decoder.share": 0.25}, {"fit": 6, "decoder": 2}),
        (
            {"method": "progressive", "teacher.steps": 8, "decoder.share": 0.25},
            {"fit-004": 2, "fit-002": 2, "fit-001": 2, "decoder": 2},
        ),
        ({"budget.samples": 16, "decoder.share": 0.25}, {"fit": 1, "decoder": 1}),
    ],
)
def test_samples_are_shared_by_all_phases(
    settings: dict[str, Any], steps: dict[str, int], teacher: Path, tmp_path: Path
) -> None:
    run(teacher, tmp_path, changed(CONFIG, {"budget.samples": 16 * 8, **settings}))
    folders = [file.parent for file in (tmp_path / "run").glob("*/figures.json")]
    found = {f.name: json.loads((f / "figures.json").read_text())["step"] for f in folders}
    assert found == steps


@pytest.mark.parametrize("method", ["trajectory", "progressive", "lcm", "dmd2"])
def test_every_phase_tells_how_much_is_done(method: str, teacher: Path, tmp_path: Path) -> None:
    config = changed(
        CONFIG,
        {
            "method": method,
            "budget.samples": 16 * 4,
            "teacher.targets": 100,
            "teacher.steps": 4,
            "decoder.share": 0.5,
            "losses.judge_samples": 32,
        },
    )
    told: dict[str, list[tuple[int, int]]] = {}

    def progress(stage: str, done: int, total: int, text: str) -> None:
        told.setdefault(stage, []).append((done, total))

    distill(
        teacher, config, tmp_path / "student", data=Path(), run=tmp_path / "run",
        progress=progress,
    )  # fmt: skip
    halvings = ["fit-002", "fit-001"] if method == "progressive" else ["fit"]
    sampled = ["trajectories"] if method == "trajectory" else []
    phases = ["checkpoints", "latents", "judge", *sampled, "figures", *halvings, "decoder",
              "checkpoint"]  # fmt: skip
    assert list(told) == phases
    for stage in phases[1:-1]:
        counts = [done for done, _ in told[stage]]
        assert counts == sorted(counts) or stage == "figures"  # once for each halving
        assert told[stage][-1][0] == told[stage][-1][1]
    if sampled:  # 7 chunks of at most 16, each of 4 steps, and the end of each of two files
        assert len(told["trajectories"]) == 7 * 4 + 2


def test_the_judge_stops_early_too_and_goes_on(teacher: Path, tmp_path: Path) -> None:
    config = changed(CONFIG, {"budget.samples": 16, "losses.judge_samples": 400})
    for folder, stops in (("cut", (0.0, None)), ("whole", (None,))):
        for stop in stops:
            out = distill(
                teacher, config, tmp_path / folder, data=Path(),
                run=tmp_path / f"{folder}.run", cadence=Cadence(save_s=0.0, stop_after_s=stop),
            )  # fmt: skip
            assert (out is None) == (stop is not None)
            assert (tmp_path / f"{folder}.run" / "fit").exists() == (stop is None)
    same = [Checkpoint.load(tmp_path / name).unet.state_dict() for name in ("cut", "whole")]
    assert all(torch.equal(tensor, same[1][name]) for name, tensor in same[0].items())


def test_a_run_goes_on_in_another_dtype(teacher: Path, tmp_path: Path) -> None:
    """Another machine may be faster in another one; teacher and student stay the same."""
    config = changed(CONFIG, {"budget.samples": 16 * 2, "fit.dtype": "bfloat16"})
    for dtype, stop in (("bfloat16", 0.0), ("float32", None)):
        out = distill(
            teacher, changed(config, {"fit.dtype": dtype}), tmp_path / "student",
            data=Path(), run=tmp_path / "run", cadence=Cadence(stop_after_s=stop),
        )  # fmt: skip
    assert out is not None
    history = Checkpoint.load(out).swap.history[-1]["config"]
    assert history["fit"]["dtype"] == "bfloat16, float32" and history["figures"]["step"] == 2


def test_several_steps_are_learned_where_they_will_be_asked(teacher: Path) -> None:
    config = changed(CONFIG, {"steps": 2, "teacher.steps": 4})
    timesteps = student_timesteps(Checkpoint.load(teacher), config).tolist()
    scheduler = Checkpoint.load(teacher).scheduler
    scheduler.set_timesteps(2)
    assert timesteps == scheduler.timesteps.tolist()


def test_existing_output_is_refused(teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "student").mkdir()
    with pytest.raises(OutputExists):
        run(teacher, tmp_path)


def test_a_student_of_another_latent_space_is_refused(teacher: Path, tmp_path: Path) -> None:
    other = tiny_checkpoint()
    sample = dataclasses.replace(other.swap.sample, std=(1.0, 2.0, 3.0, 4.0))
    other.swap = dataclasses.replace(other.swap, sample=sample)
    with pytest.raises(InvalidCheckpoint, match="residual_std"):
        run(teacher, tmp_path, student=other.save(tmp_path / "other"))


def test_a_run_folder_of_another_call_is_refused(teacher: Path, tmp_path: Path) -> None:
    run(teacher, tmp_path, changed(CONFIG, {"budget.samples": 16}))
    with pytest.raises(TrainingStopped, match="another distillation"):
        distill(
            teacher,
            changed(CONFIG, {"fit.seed": 5}),
            tmp_path / "second",
            data=Path(),
            run=tmp_path / "run",
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 3, "teacher.steps": 4}, "multiple of --steps"),
        ({"steps": 0}, "multiple of --steps"),
        ({"budget.minutes": 0.0}, "minutes 0.0: expected 0.0001 to 100000"),
        ({"budget.samples": 31}, "31 samples make no batch: expected --samples of at least"),
        ({"teacher.targets": 4}, "targets: expected at least the batch size, 32"),
        ({"losses.truth_weight": 2.0}, "truth_weight 2.0: expected 0 to 1"),
        ({"method": "magic"}, "expected one of trajectory, progressive, lcm, dmd2"),
        ({"method": "progressive", "teacher.steps": 6}, "2, 4, 8, ... times --steps"),
        ({"method": "progressive", "teacher.steps": 1}, "2, 4, 8, ... times --steps"),
        ({"decoder.share": 1.5}, "decoder_share 1.5: expected 0 to 1"),
        ({"losses.fine_weight": -1.0}, "fine_weight -1.0: expected 0 to 1000000"),
        ({"dmd2.critic_updates": 0}, "critic_updates 0: expected 1 to 1000"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        changed(DistillConfig(), settings)
