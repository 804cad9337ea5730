"""Each distillation method: its maths at known answers, and that its student learns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint.latents import sample_to_latents
from edgeswap_compress.checkpoint.schedulers import noise_scheduler
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.distill import _compatibility, _inputs
from edgeswap_compress.distill._discriminators import (
    Discriminator,
    PictureDiscriminator,
    frozen,
    hinge,
)
from edgeswap_compress.distill.config import METHODS, DistillConfig
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.distill.methods.dmd2 import Dmd2Objective
from edgeswap_compress.distill.methods.lcm import LcmObjective
from edgeswap_compress.distill.methods.progressive import ProgressiveObjective
from edgeswap_compress.distill.stage import distill
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.features import FeatureMatch, block_outputs
from edgeswap_compress.fit.latent_cache import LatentGroups
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.fit.noise_levels import CLEAN, NoiseLevels, timesteps_of
from edgeswap_compress.fit.sampling import LatentSampler

PLAIN = changed(
    DistillConfig(),
    {
        "budget.samples": 64,
        "fit.batch_size": 16,
        "teacher.targets": 16,
        "losses.truth_weight": 0.0,
        "losses.identity.weight": 0.0,
        "fit.learning_rate": 2e-3,
        "fit.dtype": "float32",
        "losses.metric_share": 0.0,
        "decoder.share": 0.0,
    },
)


def config_of(method: str, **changes: Any) -> DistillConfig:
    """Names of fields with __ in the place of the dot."""
    teacher_steps = {**METHODS, "lcm": 8, "progressive": 4}[method]
    settings = {"method": method, "teacher.steps": teacher_steps}
    settings |= {name.replace("__", "."): value for name, value in changes.items()}
    return changed(PLAIN, settings)


@pytest.fixture
def groups() -> LatentGroups:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(4, 6, 4, 4, 4, generator=generator).half()
    return LatentGroups(latents, torch.ones(4, 6, 4, 4).half(), 2)


@pytest.fixture
def inputs(groups: LatentGroups) -> DistillInputs:
    """Student and teacher are one network, and so agree where a method says they must."""
    student, teacher = tiny_checkpoint(), tiny_checkpoint(guidance_scale=1.5)
    return DistillInputs(
        student=student,
        teacher=teacher,
        pairs=PairSet(known=groups, own=groups),
        held_out=PairSet(known=groups, own=groups),
        judge=teacher.conditioner,
        config=PLAIN,
    )


def test_our_sampler_is_the_schedulers(inputs: DistillInputs) -> None:
    teacher = inputs.teacher
    levels = NoiseLevels(teacher.scheduler)
    generator = torch.Generator().manual_seed(3)
    noise, target, source = torch.randn(3, 5, 4, 4, 4, generator=generator)
    condition = teacher.conditioner.condition(source)

    def velocity(x: Tensor, steps: Tensor) -> Tensor:
        null = teacher.conditioner.null(len(x))
        return teacher.denoiser().guided(x, steps, TargetMaps(target), condition, null, 1.5)

    with torch.no_grad():
        sampler = LatentSampler(levels, timesteps_of(teacher.scheduler, 4))
        found = sampler.sample(velocity, target, noise)
        x, scheduler = noise, noise_scheduler()
        scheduler.set_timesteps(4)
        for t in scheduler.timesteps:
            x = scheduler.step(velocity(x, t.expand(5)), t, x, return_dict=False)[0]
    assert torch.allclose(found, x, atol=1e-5)


def test_noise_levels_invert_each_other(inputs: DistillInputs) -> None:
    levels = NoiseLevels(inputs.student.scheduler)
    clean, noise = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([0, 500, levels.terminal])
    x, v = levels.add(clean, noise, steps), levels.velocity(clean, noise, steps)
    assert torch.allclose(levels.clean(x, v, steps), clean, atol=1e-5)
    ended = levels.step(x, v, steps, torch.full((3,), CLEAN))
    assert torch.allclose(ended, clean, atol=1e-5)
    assert torch.equal(levels.add(clean, noise, steps)[2], noise[2])  # zero terminal SNR


def test_the_halvings_target_is_where_two_steps_lead(inputs: DistillInputs) -> None:
    task = ProgressiveObjective(inputs, steps=2, guided=True)
    batch = task.draw(Draw.of(0, 0), 6)
    level = torch.tensor([0, 0, 0, 1, 1, 1])
    now, middle, after = (task._grid[2 * level + i] for i in range(3))
    x = task.levels.add(batch.truth, Draw.of(0, 1).normal(batch.truth), now)
    there = task.levels.step(x, task.teacher_velocity(batch, x, now), now, middle)
    end = task.levels.step(there, task.teacher_velocity(batch, there, middle), middle, after)
    wanted = task._target(x, end, now, after)
    a, s = task.levels.at(now)
    velocity = (a * x - wanted) / s  # of a student that says exactly the target
    assert torch.allclose(task.levels.step(x, velocity, now, after), end, atol=1e-4)


def test_a_consistent_student_has_nothing_to_learn(
    inputs: DistillInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that knows every truth says the same all along a path whose end is the truth."""
    config = changed(inputs.config, {"method": "lcm", "teacher.steps": 8})
    task = LcmObjective(dataclasses.replace(inputs, config=config))

    def knowing(batch: Any, x: Tensor, steps: Tensor) -> Tensor:
        a, s = task.levels.at(steps)
        return (a * x - batch.truth) / s

    monkeypatch.setattr(task, "student_velocity", knowing)
    monkeypatch.setattr(task, "teacher_velocity", knowing)
    assert float(task.loss(Draw.of(0, 0), 32, 0.0)[0]) < 1e-4
    monkeypatch.setattr(task, "student_velocity", lambda b, x, t: knowing(b, x, t) + 0.1)
    assert float(task.loss(Draw.of(0, 0), 32, 0.0)[0]) > 1e-3


def test_swaps_move_to_where_the_teacher_finds_them_likelier(
    inputs: DistillInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher sure of the truth and a critic that knows nothing pull the student to the truth."""
    config = changed(inputs.config, {"method": "dmd2", "dmd2.adversarial_weight": 0.0})
    task = Dmd2Objective(dataclasses.replace(inputs, config=config))

    def sure(batch: Any, x: Tensor, steps: Tensor) -> Tensor:
        a, s = task.levels.at(steps)
        return (a * x - batch.truth) / s

    def ignorant(batch: Any, x: Tensor, steps: Tensor) -> Tensor:
        return torch.zeros_like(x)  # the best answer of who has seen unit noise alone

    monkeypatch.setattr(task, "teacher_velocity", sure)
    monkeypatch.setattr(task, "_critic_velocity", ignorant)
    adam, apart = torch.optim.Adam(task.module.unet.parameters(), 3e-3), []
    for step in range(60):
        parts: dict[str, float] = {}
        batch, draw = task.draw(Draw.of(0, step), 16), Draw.of(1, step)
        clean, _ = task.student_clean(batch, *task._state(batch, draw), parts)
        apart.append(float((clean.detach() - batch.truth).square().mean()))
        adam.zero_grad()
        task._matching_loss(batch, clean, draw, parts).backward()
        adam.step()
    assert sum(apart[-5:]) < 0.8 * sum(apart[:5])


def test_the_critic_learns_more_often_than_the_student(inputs: DistillInputs) -> None:
    config = changed(inputs.config, {"method": "dmd2", "dmd2.critic_updates": 2, "steps": 2})
    task = Dmd2Objective(dataclasses.replace(inputs, config=config))
    learned = []
    for step in range(4):
        task.module.zero_grad(set_to_none=True)
        loss, parts = task.loss(Draw.of(0, step), 4, 0.0)
        loss.backward()
        moved = {n.split(".")[0] for n, p in task.module.named_parameters() if p.grad is not None}
        learned.append("unet" in moved)
        assert {"critic", "discriminator"} <= moved
        assert ("matching" in parts) == ("critic_drift" in parts) == learned[-1]
        assert {"critic", "discriminator", "verdict_gap"} <= set(parts)
    assert learned == [True, False, True, False]
    assert all(p.grad is None for p in inputs.teacher.unet.parameters())


def test_a_critic_that_knows_no_better_than_the_teacher_moves_nothing(
    inputs: DistillInputs,
) -> None:
    """At the start critic and teacher are one, so without guidance the direction is zero."""
    config = changed(
        inputs.config, {"method": "dmd2", "dmd2.adversarial_weight": 0.0, "teacher.guidance": 1.0}
    )
    task = Dmd2Objective(dataclasses.replace(inputs, config=config))
    loss, parts = task.loss(Draw.of(0, 0), 4, 0.0)
    assert parts["matching"] < 1e-5
    assert parts["critic_drift"] == pytest.approx(1.0, abs=1e-4)
    loss.backward()
    assert max(float(p.grad.abs().max()) for p in inputs.student.unet.parameters()
               if p.grad is not None) < 1e-6  # fmt: skip


def test_the_discriminator_is_spectrally_normalized_and_can_be_passed_through() -> None:
    judge = Discriminator([8, 6], hidden=5)
    features = [torch.randn(2, 8, 4, 4), torch.randn(2, 6, 2, 2)]
    for _ in range(60):  # the power iterations
        judge(features)
    weight: Tensor = judge.get_submodule("heads.0.0").weight.detach()
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1.0, abs=1e-3)
    seen = [f.clone().requires_grad_(True) for f in features]
    with frozen(judge):
        hinge(judge(seen), judge(features)).backward()
    assert all(p.grad is None for p in judge.parameters())
    assert all(float(f.grad.abs().sum()) > 0 for f in seen if f.grad is not None)
    assert all(p.requires_grad for p in judge.parameters())


@pytest.mark.parametrize("side", [24, 27])
def test_the_picture_discriminator_learns_what_a_blur_lacks(side: int) -> None:
    judge = PictureDiscriminator(hidden=16)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(judge.parameters(), 3e-3)
    face = torch.zeros(8, 1, side, side)
    face[:, :, : side // 2] = 1.0

    def gap() -> tuple[Tensor, float]:
        sharp = 0.1 * torch.randn(8, 3, side, side, generator=generator)
        blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1, 1)
        real, fake = judge(sharp, face), judge(blurred, face)
        return hinge([real], [fake]), float((real.mean() - fake.mean()).detach())

    for _ in range(60):
        loss, found = gap()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found > 0.5
    weight: Tensor = judge.get_submodule("layers.1").weight.detach()
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1.0, abs=2e-2)
    crops = torch.randn(8, 3, side, side, generator=generator)
    beside = torch.where(face > 0, crops, crops + 1.0)
    edge = torch.zeros_like(face)
    edge[:, :, : side // 2 - 10] = 1.0  # further inside than a patch reaches
    with torch.no_grad():
        assert torch.allclose(judge(crops, edge), judge(beside, edge), atol=0.05)


def test_features_of_a_narrower_student_are_compared(inputs: DistillInputs) -> None:
    unet = inputs.teacher.unet
    with torch.no_grad(), block_outputs(unet) as seen:
        unet(torch.zeros(1, 12, 4, 4), 1, torch.zeros(1, 4, 16), class_labels=torch.zeros(1, 8))
    assert len(seen) == 5
    assert len(unet.mid_block._forward_hooks) == 0
    match = FeatureMatch([(f.shape[1] // 2, f.shape[1]) for f in seen])
    assert float(match([f[:, ::2] for f in seen], seen).detach()) > 0
    same = FeatureMatch([(f.shape[1],) * 2 for f in seen])
    for regressor in same.regressors:
        torch.nn.init.dirac_(regressor.weight)
        torch.nn.init.zeros_(regressor.bias)
    assert float(same(seen, seen).detach()) < 1e-10


@pytest.fixture
def teacher(tmp_path: Path, noise_dataset: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_inputs, "open_pictures", lambda path, loose: noise_dataset)
    monkeypatch.setattr(_compatibility, "check_pictures", lambda path, swap: noise_dataset)
    return tiny_checkpoint(guidance_scale=1.5).save(tmp_path / "teacher")


def run(teacher: Path, folder: Path, config: DistillConfig, student: Path | None = None) -> Path:
    out = distill(
        teacher, config, folder / "student", student=student, data=Path(), run=folder / "run"
    )
    assert out is not None
    return out


@pytest.mark.parametrize("method", ["progressive", "lcm"])
def test_a_students_steps_come_closer_to_the_teachers(
    teacher: Path, tmp_path: Path, method: str
) -> None:
    config = config_of(
        method, budget__samples=16 * 40, teacher__steps=2 if method == "progressive" else 8
    )
    student = Checkpoint.load(run(teacher, tmp_path, config))
    master = Checkpoint.load(teacher)
    generator = torch.Generator().manual_seed(0)
    target, source = torch.rand(2, 8, 3, 24, 24, generator=generator) * 2 - 1
    noise = torch.randn(8, 4, 4, 4, generator=generator)

    def swap(checkpoint: Checkpoint, steps: int, scale: float) -> Tensor:
        pipeline = SwapPipeline.from_checkpoint(checkpoint)
        return pipeline(
            target, source, noise=noise, num_inference_steps=steps, guidance_scale=scale
        ).sample

    wanted, before = swap(master, config.teacher_steps, 1.5), swap(master, 1, 1.0)
    after = swap(student, 1, 1.0)
    assert student.swap.guidance_scale == 1.0 and student.swap.default_steps == 1
    assert (after - wanted).square().mean() < 0.9 * (before - wanted).square().mean()


@pytest.mark.parametrize("method", list(METHODS))
def test_truth_identity_features_and_fine_scale_join_every_method(
    teacher: Path, tmp_path: Path, method: str
) -> None:
    from edgeswap_compress.prune import PruneConfig, PruneTarget, prune

    pruned = prune(teacher, PruneConfig(target=PruneTarget(macs_ratio=0.7)), tmp_path / "pruned")
    config = config_of(
        method, losses__truth_weight=0.5, losses__identity__weight=0.5, losses__feature_weight=0.1,
        losses__fine_weight=0.1, losses__metric_share=0.5, losses__judge_samples=32,
        budget__samples=32, dmd2__critic_updates=1, steps=2,
    )  # fmt: skip
    out = run(teacher, tmp_path, config, pruned)
    folders = sorted((tmp_path / "run").glob("fit*/metrics.jsonl"))
    row = json.loads(folders[0].read_text().splitlines()[-1])
    prefix = "to_truth_" if method == "trajectory" else ""
    assert {"to_truth", "features", f"{prefix}identity", f"{prefix}fine"} <= set(row)
    fixed = {"to_teacher", "to_truth", "psnr_db", "hf_ratio", "diversity"}
    assert {f"fixed_{name}" for name in fixed} <= set(row)
    student = Checkpoint.load(out)
    assert student.plan is not None and student.swap.default_steps == 2
    assert [entry["stage"] for entry in student.swap.history] == ["tiny", "prune", "distill"]


def test_progressive_halves_until_the_steps_are_reached(teacher: Path, tmp_path: Path) -> None:
    run(teacher, tmp_path, config_of("progressive", teacher__steps=8, steps=1, budget__samples=16))
    assert {p.name for p in (tmp_path / "run").glob("fit-*")} == {"fit-004", "fit-002", "fit-001"}


def test_at_truth_weight_one_the_teacher_has_no_say(inputs: DistillInputs) -> None:
    config = changed(inputs.config, {"losses.truth_weight": 1.0})
    task = LcmObjective(dataclasses.replace(inputs, config=config))
    draw, parts = Draw.of(0, 0), dict[str, float]()
    batch = task.draw(draw, 4)
    total = task.joined(torch.tensor(5.0), batch.truth + 2.0, batch, draw, parts)
    assert float(total) == pytest.approx(4.0, rel=1e-5)
    assert parts == {"to_truth": pytest.approx(4.0, rel=1e-5)}


def test_a_student_with_other_latents_of_its_own_learns_the_same_swap(
    inputs: DistillInputs, groups: LatentGroups
) -> None:
    """The teacher answers for its own latents; the residual is told in the student's."""
    generator = torch.Generator().manual_seed(1)
    apart = 0.3 * torch.randn(groups.latents.shape, generator=generator)
    own = LatentGroups((groups.latents.float() + apart).half(), groups.masks, 2)
    pairs = PairSet(known=groups, own=own)
    task = LcmObjective(dataclasses.replace(inputs, pairs=pairs, held_out=pairs))
    same = LcmObjective(inputs)
    batch, other = task.draw(Draw.of(0, 0), 4), same.draw(Draw.of(0, 0), 4)
    swap = inputs.teacher.swap
    swapped = sample_to_latents(swap, batch.truth, batch.target)
    assert torch.allclose(swapped, sample_to_latents(swap, other.truth, other.target), atol=1e-5)
    assert float(batch.offset.abs().mean()) > 0.1 and float(other.offset.abs().max()) == 0
    steps = torch.tensor([task.levels.terminal, 500, 200, 20])
    noise = Draw.of(0, 1).normal(batch.truth)
    x, y = (t.levels.add(b.truth, noise, steps) for t, b in ((task, batch), (same, other)))
    found = task.levels.clean(x, task.teacher_velocity(batch, x, steps), steps)
    wanted = same.levels.clean(y, same.teacher_velocity(other, y, steps), steps)
    assert torch.allclose(
        sample_to_latents(swap, found, batch.target),
        sample_to_latents(swap, wanted, other.target),
        atol=1e-3,
    )


def test_errors_cost_what_the_decoder_shows(inputs: DistillInputs) -> None:
    """A share of 1 counts a direction by what it does to pixels, on average as the plain loss."""
    config = changed(inputs.config, {"losses.metric_share": 1.0})
    task = LcmObjective(dataclasses.replace(inputs, config=config))
    batch = task.draw(Draw.of(0, 0), 4)
    costs = []
    for channel in range(4):
        error = torch.zeros_like(batch.truth)
        error[:, channel] = 1.0
        costs.append(float(task.regression(batch.truth + error, batch.truth, batch)))
    assert sum(costs) == pytest.approx(1.0, rel=1e-4)
    assert max(costs) > 1.5 * min(costs)
