"""What saves memory or time changes no result: checkpointing, offloading, compiling."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.material.trajectories import Trajectories
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.distill.methods.lcm import LcmObjective
from edgeswap_compress.distill.methods.trajectory import TrajectoryObjective
from edgeswap_compress.fit.config import FitOptions, changed
from edgeswap_compress.fit.latent_cache import LatentGroups
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.machine.memory import estimate_memory
from edgeswap_compress.fit.machine.savings import brought, move, prepare_unet
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.personalize import PersonalizeConfig, personalize
from edgeswap_compress.personalize import stage as personalizing
from edgeswap_compress.prune import PruneChoice, PruneConfig, PruneTarget, prune
from edgeswap_compress.prune.config import RecoverConfig
from edgeswap_compress.prune.recover import rounds
from edgeswap_compress.prune.recover.objective import RecoverData, RecoverObjective
from edgeswap_compress.prune.stage import PruneFiles

CPU = torch.device("cpu")
HERE = {"fit.dtype": "float32", "fit.device": "cpu"}


def pairs() -> PairSet:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(3, 6, 4, 4, 4, generator=generator).half()
    groups = LatentGroups(latents, torch.ones(3, 6, 4, 4).half(), 2)
    return PairSet(known=groups, own=groups)


def devices(*modules: Any) -> set[torch.device]:
    return {p.device for module in modules for p in module.parameters()}


def recovering(*, checkpointing: bool) -> RecoverObjective:
    config = changed(RecoverConfig(), {**HERE, "fit.checkpointing": checkpointing})
    data = RecoverData(train=pairs(), held_out=pairs())
    return RecoverObjective(tiny_checkpoint(), deepcopy(tiny_checkpoint(3).unet), config, data)


def test_checkpointing_keeps_less_and_gives_the_same_gradients() -> None:
    found, kept = [], []
    for checkpointing in (False, True):
        task = recovering(checkpointing=checkpointing)
        loss, _ = task.loss(Draw.of(0, 0), 8, 0.0)
        loss.backward()
        found.append([loss, *(p.grad for p in task.module.unet.parameters())])

        def forward(samples: int, task: RecoverObjective = task) -> object:
            return task.loss(Draw.of(0, 1), samples, 0.0)

        kept.append(estimate_memory(task.module, forward, "adamw", 8).activations)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*found, strict=True))
    assert kept[1] < 0.8 * kept[0]


def inputs(config: DistillConfig, device: torch.device = CPU) -> DistillInputs:
    student, teacher = (
        tiny_checkpoint(guidance_scale=scale).to(torch.float32, device) for scale in (1.0, 1.5)
    )
    return DistillInputs(
        student=student, teacher=teacher, pairs=pairs(), held_out=pairs(),
        judge=teacher.conditioner, config=config,
    )  # fmt: skip


def test_what_rests_is_on_the_card_only_while_it_is_asked(
    card: ModuleType, on: Callable[[torch.device], Any]
) -> None:
    changes = {**HERE, "fit.offload": True, "fit.batch_size": 4, "teacher.targets": 8,
               "losses.metric_share": 0.0}  # fmt: skip
    with card.fake_card() as device:
        on(device)
        given = inputs(changed(DistillConfig(), changes), device)
        student, teacher = given.student, given.teacher
        states, results = torch.zeros(8, 1, 4, 4, 4), torch.zeros(8, 4, 4, 4)
        paths = Trajectories(states, results, torch.tensor([999]))
        task = TrajectoryObjective(given, paths)
        resting = (student.vae, teacher.vae, teacher.unet, teacher.conditioner)
        assert devices(*resting) == {CPU} and devices(student.unet) == {device}
        loss, _ = task.loss(Draw.of(0, 0), 4, 0.0)
        assert loss.device == device and devices(*resting) == {CPU}
        asked: list[set[torch.device]] = []
        teacher.unet.register_forward_pre_hook(lambda *given: asked.append(devices(teacher.unet)))
        student.vae.decoder.register_forward_pre_hook(
            lambda *given: asked.append(devices(student.vae))
        )
        task.evaluate()
        assert len(asked) > 4 and all(where == {device} for where in asked)
        assert devices(*resting) == {CPU}
        task.rests.end()
        assert devices(student.vae, teacher.vae) == {device}
        assert devices(teacher.unet) == {CPU}


def test_modules_are_brought_and_taken_back(card: ModuleType) -> None:
    with card.fake_card() as device:
        module: Any = nn.Linear(2, 2)
        with brought([module], device, rest=False):
            assert devices(module) == {CPU}
        with brought([module], device, rest=True):
            assert devices(module) == {device}
        assert devices(module) == {CPU}
        move([module], device)
        assert devices(module) == {device}


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kinds of the modules that were sent to the host."""
    sent: list[str] = []

    def spy(modules: Any, device: torch.device) -> None:
        assert device == CPU
        sent.extend(type(module).__name__ for module in modules)
        move(modules, device)

    for stage in (personalizing, rounds):
        monkeypatch.setattr(stage, "move", spy)
    return sent


def test_a_recovery_sends_its_autoencoder_away(
    moved: list[str], small_faces: Path, tmp_path: Path
) -> None:
    checkpoint = tiny_checkpoint().save(tmp_path / "checkpoint")
    config = PruneConfig(
        target=PruneTarget(macs_ratio=0.7), choice=PruneChoice(round_to=4), samples=0
    )
    recover = changed(RecoverConfig(), {**HERE, "fit.offload": True, "fit.batch_size": 4,
                                        "budget.samples": 4})  # fmt: skip
    files = PruneFiles(data=small_faces, run=tmp_path / "run")
    assert prune(checkpoint, config, tmp_path / "out", files=files, recover=recover)
    assert moved == ["AutoencoderKL"]


def test_a_personalization_sends_its_autoencoder_away(
    moved: list[str], small_faces: Path, tmp_path: Path
) -> None:
    model = tiny_checkpoint()
    model.swap = model.swap.sampled(steps=1)
    student, photos = model.save(tmp_path / "student"), tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(photos / "a.png")
    config = changed(
        PersonalizeConfig(consent="nobody, now, a test", others=1),
        {**HERE, "fit.offload": True, "fit.batch_size": 4, "budget.samples": 4},
    )
    out = personalize(student, config, tmp_path / "out", photos=photos, data=small_faces,
                      aligned=True)  # fmt: skip
    assert out is not None and moved == ["AutoencoderKL"]


@pytest.mark.slow
def test_a_compiled_unet_gives_the_same_losses_and_gradients() -> None:
    found: list[list[Tensor]] = []
    for machine in (FitOptions(), FitOptions(compile=True)):
        torch._dynamo.reset()
        changes = {**HERE, "method": "lcm", "teacher.steps": 4, "fit.batch_size": 4}
        given = inputs(changed(DistillConfig(), changes))
        for model in (given.student, given.teacher):
            prepare_unet(model.unet, machine, learns=model is given.student)
        task = LcmObjective(given)
        assert (given.student.unet._compiled_call_impl is not None) == machine.compile
        losses = [task.loss(Draw.of(0, step), 4, 0.0)[0] for step in range(2)]
        torch.stack(losses).sum().backward()
        grads = [p.grad for p in given.student.unet.parameters() if p.grad is not None]
        found.append([*losses, *grads])
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(*found, strict=True))
