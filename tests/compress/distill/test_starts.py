"""Students of teachers that begin at the target and are blended with it at every step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint._tiny_kinds import tiny_kind
from edgeswap_compress.checkpoint.swap_parts import SamplingStart
from edgeswap_compress.data import open_pictures
from edgeswap_compress.distill._compatibility import DistillFiles
from edgeswap_compress.distill._inputs import load_inputs, load_pair, load_student
from edgeswap_compress.distill._task import Student
from edgeswap_compress.distill.config import METHODS, DistillConfig
from edgeswap_compress.distill.material.trajectories import teacher_trajectories, trajectory_pairs
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.distill.stage import distill
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.fit.loop import Draw
from edgeswap_runtime.cli import main

SHORT = changed(
    DistillConfig(),
    {
        "steps": 3,
        "budget.samples": 8,
        "fit.batch_size": 4,
        "fit.dtype": "float32",
        "fit.device": "cpu",
        "teacher.targets": 8,
        "teacher.steps": 6,
        "losses.identity.weight": 0.0,
        "decoder.share": 0.5,
    },
)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starts")
    return tiny_kind("img2img", folder / "files").save(folder / "teacher")


@pytest.fixture
def inputs(teacher: Path, people: Path, tmp_path: Path) -> DistillInputs:
    (tmp_path / "run").mkdir()
    files = DistillFiles(
        teacher=teacher, student=teacher, autoencoder=None, data=people, held_out=None,
        run=tmp_path / "run",
    )  # fmt: skip
    models = load_pair(teacher, load_student(teacher, None), SHORT.fit)
    return load_inputs(*models, SHORT, files, lambda name: None)


def pictures_of(people: Path, positions: Any) -> Tensor:
    pictures = open_pictures(people, loose=True)
    return to_tensor(np.concatenate([pictures.images(int(place)) for place in positions]))


def test_trajectories_begin_at_the_target_and_keep_it_outside_the_mask(
    inputs: DistillInputs, tmp_path: Path
) -> None:
    found = teacher_trajectories(inputs.teacher, inputs.pairs, SHORT, tmp_path / "paths", "key")
    assert found.timesteps.tolist() == [666, 332]  # two of three steps, as 0.7 leaves
    places = trajectory_pairs(inputs.pairs, SHORT).places
    noise = Draw.of(SHORT.fit.seed + 1, 0).normal(torch.empty(8, 4, 8, 8))
    target = inputs.pairs.known.at(places.target)
    started = inputs.teacher.scheduler.add_noise(target, noise, torch.full((8,), 666))
    assert torch.allclose(found.states[:, 0], started, atol=2e-3)
    mask = Student(inputs).sampler.mask
    assert mask is not None
    outside = (mask == 0).expand_as(target)
    assert torch.allclose(found.results[outside], target[outside], atol=2e-3)
    assert float((found.results - target)[~outside].abs().max()) > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_teaches_it_on_the_states_it_will_see(
    method: str, teacher: Path, people: Path, tmp_path: Path
) -> None:
    config = changed(SHORT, {"method": method, "losses.feature_weight": 0.5})
    out = distill(teacher, config, tmp_path / "student", data=people, run=tmp_path / "run")
    assert out is not None
    sampling = Checkpoint.load(out).swap.sampling
    assert (sampling.steps, sampling.guidance_scale) == (3, 1.0)
    assert sampling.start == SamplingStart(at="target", strength=0.7)
    assert sampling.blend == "latents"


@torch.no_grad()
def test_what_is_judged_in_training_is_what_the_pipeline_gives(
    inputs: DistillInputs, people: Path
) -> None:
    task = Student(inputs)
    batch = task.draw(Draw.of(0, 0), 4, exact=True)
    noise = Draw.of(0, 1).normal(batch.truth)
    count = len(open_pictures(people, loose=True))
    places = batch.drawn.places
    if (places.target >= count).any() or (places.source >= count).any():
        places = replace(places, target=places.target % count, source=places.source % count)
        batch = task.batch(replace(batch.drawn, places=replace(places, truth=places.target)))
    swap = inputs.student.swap.sampled(steps=3, spacing=None, sampler="ddim", guidance_scale=1.0)
    pipeline = SwapPipeline.from_checkpoint(replace(inputs.student, swap=swap))
    found = pipeline(
        pictures_of(people, places.target), pictures_of(people, places.source), noise=noise
    )
    # the features of recognizers, and the target's latents, are kept as float16
    assert torch.allclose(task.swap(batch, noise), found.sample, atol=2e-2)


def test_a_bundle_of_the_student_swaps_as_torch_does(
    teacher: Path, people: Path, tmp_path: Path
) -> None:
    from edgeswap_export import ExportConfig, SchedulesConfig, export
    from edgeswap_runtime import Bundle

    out = distill(teacher, SHORT, tmp_path / "student", data=people, run=tmp_path / "run")
    assert out is not None
    config = ExportConfig(schedules=SchedulesConfig(others=()), detector=False)
    export(out, config, tmp_path / "bundle")  # which compares the whole swap with torch's
    manifest = Bundle.open(tmp_path / "bundle").manifest
    schedule = manifest.schedules[manifest.default_schedule]
    assert len(schedule.rows) == 2 and 0 < schedule.start_signal < 1
    assert all(row.blends for row in schedule.rows)


def test_one_step_of_a_part_is_refused(
    teacher: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["distill", str(teacher), str(teacher), str(tmp_path / "out"), "--data", str(people)]
    assert main([*line, "--steps", "1", "--identity-weight", "0"]) == 2
    error = capsys.readouterr().err
    assert "strength 0.7 of 1 steps leaves none" in error and "2 steps or more" in error
    assert main([*line, "--steps", "2"]) == 2
    error = capsys.readouterr().err
    assert "expected --identity-weight 0" in error and len(error.strip().splitlines()) == 1


def test_a_student_that_begins_elsewhere_is_refused(
    teacher: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Checkpoint.load(teacher)
    other.swap = other.swap.sampled(start=SamplingStart())
    student = other.save(tmp_path / "other")
    line = ["distill", str(teacher), str(student), str(tmp_path / "out"), "--data", str(people)]
    assert main([*line, "--steps", "2", "--identity-weight", "0"]) == 2
    assert "student's start: expected at target, strength 0.7" in capsys.readouterr().err
