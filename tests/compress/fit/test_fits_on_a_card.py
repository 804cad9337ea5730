"""Everything that a command fits, on a card that is not there: losses, figures and gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from edgeswap_compress import SwapPipeline
from edgeswap_compress.distill._finetune_decoder import DecoderObjective
from edgeswap_compress.distill._task import StudentTask
from edgeswap_compress.distill.autoencoder.config import AutoencoderSize, SmallAutoencoderConfig
from edgeswap_compress.distill.autoencoder.small_autoencoder import (
    SmallAutoencoderObjective,
    build_small_autoencoder,
)
from edgeswap_compress.distill.config import METHODS, DistillConfig
from edgeswap_compress.distill.decoder.config import OverlaySize, TargetDecoderConfig
from edgeswap_compress.distill.decoder.stage import build_overlay
from edgeswap_compress.distill.decoder.target_decoder import TargetDecoderObjective
from edgeswap_compress.distill.few_steps import as_student
from edgeswap_compress.distill.material.trajectories import Trajectories
from edgeswap_compress.distill.method_inputs import DistillInputs
from edgeswap_compress.distill.methods.dmd2 import Dmd2Objective
from edgeswap_compress.distill.methods.lcm import LcmObjective
from edgeswap_compress.distill.methods.progressive import ProgressiveObjective
from edgeswap_compress.distill.methods.trajectory import TrajectoryObjective
from edgeswap_compress.fit.config import FitConfig, changed
from edgeswap_compress.fit.loop import Draw, Objective
from edgeswap_compress.fit.losses import decoder_metric
from edgeswap_compress.personalize import PersonalizeConfig
from edgeswap_compress.personalize.objective import PersonalizeObjective
from edgeswap_compress.personalize.photos import PersonPictures
from edgeswap_compress.prune.config import RecoverConfig
from edgeswap_compress.prune.recover.objective import RecoverData, RecoverObjective
from edgeswap_compress.train import AutoencoderConfig, DenoiserConfig, IdentityConfig
from edgeswap_compress.train._decoder import SwapDecoderObjective
from edgeswap_compress.train.autoencoder import AutoencoderObjective
from edgeswap_compress.train.denoiser import DenoiserObjective
from edgeswap_compress.train.examples import rendered
from edgeswap_compress.train.identity import IdentityObjective

SAMPLES = 4


FIT = FitConfig(samples=8, batch_size=SAMPLES)


def distilling(given: Any, method: str) -> DistillInputs:
    changes = {
        "method": method, "losses.feature_weight": 1.0, "losses.fine_weight": 1.0,
        "teacher.targets": 32, "fit.batch_size": SAMPLES, "steps": 1,
    }  # fmt: skip
    student, teacher = given.checkpoint(), given.checkpoint(guidance_scale=1.5)
    return DistillInputs(
        student=student, teacher=teacher, pairs=given.pairs, held_out=given.pairs,
        judge=teacher.conditioner, config=given.config(changed(DistillConfig(), changes)),
    )  # fmt: skip


def trajectory(given: Any) -> StudentTask:
    inputs = distilling(given, "trajectory")
    steps = torch.tensor([999])
    found = Trajectories(torch.zeros(32, 1, 4, 4, 4), torch.zeros(32, 4, 4, 4), steps)
    return TrajectoryObjective(inputs, found)


def finetuning(given: Any) -> Objective:
    task = LcmObjective(distilling(given, "lcm"))
    return DecoderObjective(
        task, given.checkpoint().vae, given.dataset, given.dataset,
        fine_weight=1.0, adversarial_weight=1.0, seed=0,
    )  # fmt: skip


DISTILL: dict[str, Callable[[Any], Objective]] = {
    "trajectory": trajectory,
    "progressive": lambda given: ProgressiveObjective(
        distilling(given, "progressive"), steps=1, guided=True
    ),
    "lcm": lambda given: LcmObjective(distilling(given, "lcm")),
    "dmd2": lambda given: Dmd2Objective(distilling(given, "dmd2")),
}


def shrinking(given: Any) -> Objective:
    large = given.checkpoint()
    size = AutoencoderSize(patch_size=6, width=8, encoder_blocks=1, decoder_blocks=1)
    config = given.config(SmallAutoencoderConfig(size=size))
    space = dataclasses.replace(large.swap.latents, patch_size=6, mean=(0.0,), std=(1.0,))
    small = dataclasses.replace(large.swap, latents=space)
    module = build_small_autoencoder(config, large.swap).to(given.device)
    return SmallAutoencoderObjective(
        module, config, large.vae, large.swap, small, given.dataset, given.dataset
    )


def seeing_the_target(given: Any) -> Objective:
    size = OverlaySize(patch_size=2, width=8)
    config = given.config(TargetDecoderConfig(steps=1, augment_share=0.0, size=size))
    overlay = build_overlay(config.size, 0).to(given.device)
    pipeline = SwapPipeline.from_checkpoint(given.checkpoint())
    return TargetDecoderObjective(pipeline, overlay, config, given.dataset, given.dataset)


def train_autoencoder(given: Any) -> Objective:
    model = given.checkpoint()
    return AutoencoderObjective(model.vae, AutoencoderConfig(fit=FIT), given.dataset, given.dataset)


def train_identity(given: Any) -> Objective:
    examples = rendered(given.groups)
    config = IdentityConfig(fit=FIT)
    return IdentityObjective(given.checkpoint().conditioner, config, examples, examples)


def train_denoiser(given: Any) -> DenoiserObjective:
    model, examples = given.checkpoint(), rendered(given.groups)
    sight = examples.cached(Draw.of(0, 0), 2).to(given.device)
    metric = decoder_metric(model.vae, model.swap, sight.target, sight.mask)
    return DenoiserObjective(
        model.unet, model.conditioner, model.scheduler, model.swap, DenoiserConfig(fit=FIT),
        examples, examples, metric=metric, structure_weight=1.0,
    )  # fmt: skip


def train_decoder(given: Any) -> Objective:
    examples, model = rendered(given.groups), given.checkpoint()
    both = (examples, given.dataset)
    return SwapDecoderObjective(model.vae, model.swap, 1.0, train_denoiser(given), both, both)


def recovering(given: Any) -> Objective:
    data = RecoverData(train=given.pairs, held_out=given.pairs)
    return RecoverObjective(given.checkpoint(), given.checkpoint().unet, RecoverConfig(), data)


def recovering_imported(given: Any) -> Objective:
    data = RecoverData(train=given.imported_pairs, held_out=given.imported_pairs)
    teacher, unet = given.imported(), given.imported().unet
    return RecoverObjective(teacher, unet, RecoverConfig(), data)


def distilling_imported(given: Any) -> Objective:
    """A teacher that begins at the target, blends, and is told of the source by a recognizer."""
    changes = {"losses.identity.weight": 0.0, "steps": 3, "teacher.steps": 6, "method": "lcm",
               "fit.batch_size": SAMPLES}  # fmt: skip
    inputs = DistillInputs(
        student=as_student(given.imported()), teacher=given.imported(),
        pairs=given.imported_pairs, held_out=given.imported_pairs, judge=None,
        config=given.config(changed(DistillConfig(), changes)),
    )  # fmt: skip
    return LcmObjective(inputs)


def personalizing(given: Any) -> Objective:
    config = given.config(PersonalizeConfig(consent="nobody, now, a test"))
    model = given.checkpoint()
    pictures = PersonPictures(np.zeros((6, 24, 24, 3), np.uint8), 2, model.swap.mask)
    return PersonalizeObjective(model, config, pictures, given.pairs, given.pairs)


def personalizing_imported(given: Any) -> Objective:
    config = changed(PersonalizeConfig(consent="nobody, now, a test"), {"identity.weight": 0.0})
    model, pairs = given.imported(), given.imported_pairs
    pictures = PersonPictures(np.zeros((6, 32, 32, 3), np.uint8), 2, model.swap.mask)
    return PersonalizeObjective(model, given.config(config), pictures, pairs, pairs)


OBJECTIVES: dict[str, dict[str, Callable[[Any], Objective]]] = {
    "train": {
        "autoencoder": train_autoencoder,
        "identity": train_identity,
        "denoiser": train_denoiser,
        "decoder": train_decoder,
    },
    "distill": {**DISTILL, "decoder": finetuning, "imported": distilling_imported},
    "distill autoencoder": {"fit": shrinking},
    "distill decoder": {"fit": seeing_the_target},
    "prune": {"recover": recovering, "imported": recovering_imported},
    "personalize": {"fit": personalizing, "imported": personalizing_imported},
}
"""Command -> what it fits."""


FITTED = [(command, name) for command, all_of in OBJECTIVES.items() for name in all_of]


def test_no_command_and_no_method_is_forgotten(torch_commands: dict[str, Any]) -> None:
    fits = {name for name, parser in torch_commands.items()
            if "--learning-rate" in parser._option_string_actions}  # fmt: skip
    assert fits | {"train"} == OBJECTIVES.keys()
    assert DISTILL.keys() == METHODS.keys()


@pytest.mark.parametrize(("command", "name"), FITTED)
def test_losses_and_figures_stay_on_the_card(
    command: str, name: str, on: Callable[[torch.device], Any], card: ModuleType
) -> None:
    with card.fake_card() as device:
        objective = OBJECTIVES[command][name](on(device))
        assert {p.device for p in objective.module.parameters()} == {device}
        loss, _ = objective.loss(Draw.of(0, 0), SAMPLES, 0.5)
        assert loss.device == device
        objective.evaluate()


@pytest.mark.parametrize(("command", "name"), FITTED)
def test_a_training_step_on_meta(
    command: str, name: str, on: Callable[[torch.device], Any], card: ModuleType
) -> None:
    with card.meta() as device:
        objective = OBJECTIVES[command][name](on(device))
        loss, _ = objective.loss(Draw.of(0, 0), SAMPLES, 0.5)
        loss.backward()
        learned = [p.grad for p in objective.module.parameters() if p.requires_grad]
        assert any(grad is not None for grad in learned)
        assert {grad.device for grad in learned if grad is not None} == {device}
