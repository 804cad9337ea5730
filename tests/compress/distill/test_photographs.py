"""Distilling from photographs: pairs without truths, teachers of every prediction, few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image

from edgeswap_compress import Checkpoint
from edgeswap_compress.checkpoint._tiny_kinds import KINDS, SIZE_PX, tiny_kind
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.distill._task import Student
from edgeswap_compress.distill.config import METHODS, DistillConfig
from edgeswap_compress.distill.few_steps import as_student, refit_output
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.distill.stage import distill
from edgeswap_compress.errors import DatasetMismatch, InvalidCheckpoint, UnusablePictures
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.latent_cache import LatentGroups
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.material.pairs import Answers, PairSet
from edgeswap_compress.fit.noise_levels import PREDICTIONS, NoiseLevels
from edgeswap_compress.fit.pairing import LabeledPairing

SHORT = {
    "budget.samples": 8,
    "fit.batch_size": 4,
    "fit.dtype": "float32",
    "fit.device": "cpu",
    "teacher.targets": 8,
    "losses.truth_weight": 0.25,
    "decoder.share": 0.5,
}


def predicting(kind: str) -> Checkpoint:
    """A tiny teacher that predicts the noise, the velocity or the sample."""
    model = tiny_checkpoint(guidance_scale=5.0)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=False, steps_offset=1, prediction_type=kind,
    )  # fmt: skip
    return replace(model, scheduler=scheduler, scheduler_config=None)


def write_people(folder: Path, dataset: Any, *, loose: bool = False, size: int = 24) -> Path:
    """Six people with two crops each, or the same crops of nobody in particular."""
    for group in range(len(dataset)):
        for number, picture in enumerate(dataset.images(group)[:2]):
            place = folder if loose else folder / f"person-{group}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).resize((size, size)).save(place / f"{group}-{number}.png")
    return folder


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_a_velocity_is_read_from_every_prediction(kind: str) -> None:
    levels = NoiseLevels(predicting(kind).scheduler, predictions=PREDICTIONS)
    clean, noise = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([1, 500, levels.terminal])
    x, wanted = levels.add(clean, noise, steps), levels.velocity(clean, noise, steps)
    said = {"epsilon": noise, "v_prediction": wanted, "sample": clean}[kind]
    assert torch.allclose(levels.as_velocity(said, x, steps), wanted, atol=2e-4)


def test_noise_cannot_be_predicted_where_no_signal_is_left() -> None:
    scheduler = tiny_checkpoint().scheduler
    bad = DDIMScheduler.from_config(scheduler.config, prediction_type="epsilon")
    with pytest.raises(InvalidCheckpoint, match="epsilon at zero terminal SNR"):
        NoiseLevels(bad, predictions=PREDICTIONS)


def test_a_student_says_the_velocity_and_begins_at_noise() -> None:
    student = as_student(predicting("epsilon"))
    config = student.scheduler.config
    assert (config.prediction_type, config.timestep_spacing) == ("v_prediction", "trailing")
    assert student.noise_settings["prediction_type"] == "v_prediction"
    student.scheduler.set_timesteps(1)
    assert student.scheduler.timesteps.tolist() == [999]
    packaged = tiny_checkpoint()
    assert as_student(packaged) is packaged  # whose schedule is a student's already


@pytest.fixture
def pairs() -> PairSet:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(12, 1, 4, 4, 4, generator=generator).half()
    groups = LatentGroups(latents, torch.ones(12, 1, 4, 4).half(), 1)
    people = np.repeat(np.arange(6), 2)
    return PairSet(known=groups, own=groups, pairing=LabeledPairing(people, 0.5))


def answered(pairs: PairSet) -> PairSet:
    places = pairs.unanswered(np.random.default_rng(1), 5).places
    return replace(pairs, answers=Answers(places, torch.full((5, 4, 4, 4), 7.0).half()))


def test_the_teacher_is_the_truth_of_two_people_and_a_picture_that_of_one(pairs: PairSet) -> None:
    drawn = answered(pairs).draw(np.random.default_rng(0), 64)
    person = np.repeat(np.arange(6), 2)
    same = person[drawn.places.source] == person[drawn.places.target]
    assert 0.2 < same.mean() < 0.8
    assert np.array_equal(drawn.answer < 0, same)
    found = answered(pairs).truths(drawn, torch.device("cpu"))
    own = pairs.known.at(drawn.places.target)
    assert torch.equal(found[same], own[same])
    assert bool((found[~same] == 7.0).all())
    exact = pairs.exact(np.random.default_rng(0), 32).places
    assert np.array_equal(person[exact.source], person[exact.target])
    asked = pairs.unanswered(np.random.default_rng(0), 32).places
    assert bool((person[asked.source] != person[asked.target]).all())


def test_the_refitted_output_begins_near_the_answers(pairs: PairSet) -> None:
    teacher = predicting("epsilon")
    inputs = DistillInputs(
        student=as_student(predicting("epsilon")), teacher=teacher, pairs=answered(pairs),
        held_out=pairs, judge=teacher.conditioner,
        config=changed(DistillConfig(), {**SHORT, "losses.metric_share": 0.0}), refits=True,
    )  # fmt: skip
    task = Student(inputs)
    batch, noise = task.draw(Draw.of(9, 0), 32), Draw.of(9, 1).normal(torch.empty(32, 4, 4, 4))
    steps = torch.full((32,), 999)

    def error() -> float:
        with torch.no_grad():
            said = task.student_velocity(batch, noise, steps)
        return float((task.levels.clean(noise, said, steps) - batch.truth).square().mean())

    before = error()
    refit_output(task, 0)
    assert error() < 0.6 * before


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_from_people_alone(
    method: str, tmp_path: Path, noise_dataset: Any
) -> None:
    teacher = predicting("epsilon").save(tmp_path / "teacher")
    people = write_people(tmp_path / "people", noise_dataset)
    steps = {"progressive": 4, "lcm": 4}.get(method, 2)
    config = changed(DistillConfig(), {**SHORT, "method": method, "teacher.steps": steps})
    out = distill(teacher, config, tmp_path / "student", data=people, run=tmp_path / "run")
    assert out is not None
    student = Checkpoint.load(out)
    assert student.scheduler.config.prediction_type == "v_prediction"
    assert (student.swap.sampling.steps, student.swap.sampling.guidance_scale) == (1, 1.0)
    figures = student.swap.history[-1]["config"]["figures"]
    assert "fixed_to_teacher" in figures and "fixed_to_truth" not in figures


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_other_predictions_and_loose_crops(kind: str, tmp_path: Path, noise_dataset: Any) -> None:
    teacher = predicting(kind).save(tmp_path / "teacher")
    crops = write_people(tmp_path / "crops", noise_dataset, loose=True)
    config = changed(DistillConfig(), {**SHORT, "teacher.steps": 2, "decoder.share": 0.0})
    out = distill(teacher, config, tmp_path / "student", data=crops, run=tmp_path / "run")
    assert out is not None
    assert Checkpoint.load(out).scheduler.config.prediction_type == kind


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_others_learn_from_people(kind: str, tmp_path: Path, noise_dataset: Any) -> None:
    """A U-Net alone learns: the checkpoint has no source encoder."""
    model = tiny_kind(kind, tmp_path / "files")
    teacher = model.save(tmp_path / "teacher")
    people = write_people(tmp_path / "people", noise_dataset, size=SIZE_PX)
    steps = 2 if model.swap.sampling.start.strength < 1 else 1  # one step would be none of it
    changes = {**SHORT, "steps": steps, "teacher.steps": 2, "decoder.share": 0.0,
               "losses.identity.weight": 0.0}  # fmt: skip
    out = distill(teacher, changed(DistillConfig(), changes), tmp_path / "student", data=people)
    assert out is not None
    student = Checkpoint.load(out)
    assert student.swap.sampling.steps == steps
    assert student.swap.sampling.start == model.swap.sampling.start
    before, after = model.unet.state_dict(), student.unet.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_crops_of_another_size_are_refused(tmp_path: Path, noise_dataset: Any) -> None:
    teacher = predicting("epsilon").save(tmp_path / "teacher")
    people = tmp_path / "people"
    for number in range(4):
        folder = people / str(number // 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / f"{number}.png")
    with pytest.raises(DatasetMismatch, match="expected 24"):
        distill(teacher, changed(DistillConfig(), SHORT), tmp_path / "student", data=people)
    with pytest.raises(UnusablePictures, match="holds 0 pictures: expected at least 2"):
        distill(teacher, changed(DistillConfig(), SHORT), tmp_path / "other", data=tmp_path)
