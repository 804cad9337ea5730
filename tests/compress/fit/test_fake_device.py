"""Every command that computes in torch, on a device that is not there: no tensor is left behind.

Fake tensors of device cuda have no numbers, but an operation on two devices raises as on a card.
Autograd cannot run on them, so a training step runs on the device meta.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint._tiny import tiny_checkpoint
from edgeswap_compress.distill._finetune_decoder import DecoderObjective
from edgeswap_compress.distill._task import DistillInputs, StudentTask
from edgeswap_compress.distill.autoencoder.config import AutoencoderSize, SmallAutoencoderConfig
from edgeswap_compress.distill.autoencoder.small_autoencoder import (
    SmallAutoencoderObjective,
    build_small_autoencoder,
)
from edgeswap_compress.distill.config import METHODS, DistillConfig
from edgeswap_compress.distill.decoder.config import OverlaySize, TargetDecoderConfig
from edgeswap_compress.distill.decoder.stage import build_overlay
from edgeswap_compress.distill.decoder.target_decoder import TargetDecoderObjective
from edgeswap_compress.distill.material.trajectories import Trajectories, _sample, trajectory_pairs
from edgeswap_compress.distill.methods.dmd2 import Dmd2Objective
from edgeswap_compress.distill.methods.lcm import LcmObjective
from edgeswap_compress.distill.methods.progressive import ProgressiveObjective
from edgeswap_compress.distill.methods.trajectory import TrajectoryObjective
from edgeswap_compress.fit.config import FitConfig, changed
from edgeswap_compress.fit.latent_cache import LatentGroups, _encode_group
from edgeswap_compress.fit.loop import Draw, Objective
from edgeswap_compress.fit.losses import decoder_metric
from edgeswap_compress.fit.machine.device import Compute
from edgeswap_compress.fit.machine.options import FitMachine
from edgeswap_compress.fit.material.pairs import PairSet, taken
from edgeswap_compress.fit.material.sight import Sight
from edgeswap_compress.personalize import PersonalizeConfig
from edgeswap_compress.personalize._objective import PersonalizeObjective
from edgeswap_compress.personalize._photos import PersonPhotos, disguise
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import swap_samples
from edgeswap_compress.prune._config import RecoverConfig
from edgeswap_compress.prune.recover.objective import RecoverData, RecoverObjective
from edgeswap_compress.train import AutoencoderConfig, DenoiserConfig, IdentityConfig
from edgeswap_compress.train._decoder import SwapDecoderObjective
from edgeswap_compress.train.autoencoder import AutoencoderObjective
from edgeswap_compress.train.denoiser import DenoiserObjective
from edgeswap_compress.train.examples import rendered
from edgeswap_compress.train.identity import IdentityObjective
from edgeswap_runtime.cli import COMMANDS

CUDA = torch.device("cuda", 0)
SAMPLES = 4
FIT = FitConfig(samples=8, batch_size=SAMPLES)


class _Numbers(TorchDispatchMode):
    """Answer a number where a loss is read that has none; fake and meta tensors would refuse."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return {True: 0.5, False: 1}[args[0].is_floating_point()]
        if func is torch.ops.aten.equal.default:
            return True
        return func(*args, **(kwargs or {}))


ANSWERS = {Tensor.__float__: 0.5, Tensor.__int__: 1, Tensor.__bool__: True}
"""What a number reads as that is none."""


class _Python(TorchFunctionMode):
    """Do by operations that dispatch what Python's bindings ask the CUDA library for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__getitem__:
            return _at(args[0], args[1])
        if func is Tensor.__setitem__:
            return torch.ops.aten.copy_(_at(args[0], args[1]), torch.as_tensor(args[2]))
        if func is Tensor.copy_:
            return torch.ops.aten.copy_(args[0], args[1])
        if func is Tensor.__invert__:
            return torch.logical_not(args[0])
        if func in ANSWERS:
            return ANSWERS[func]
        if func is Tensor.contiguous:
            return args[0].clone(
                memory_format=(kwargs or {}).get("memory_format", torch.contiguous_format)
            )
        return func(*args, **(kwargs or {}))


def _at(x: Tensor, index: Any) -> Tensor:
    """Index a tensor by slices, numbers, None and at most one run of tensors."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(part is Ellipsis for part in parts):
        place = next(i for i, part in enumerate(parts) if part is Ellipsis)
        taken = sum(part is not None and part is not Ellipsis for part in parts)
        parts[place : place + 1] = [slice(None)] * (x.ndim - taken)
    dim, chosen = 0, dict[int, Tensor]()
    for part in parts:
        if part is None:
            x, dim = x.unsqueeze(dim), dim + 1
        elif isinstance(part, slice):
            x, dim = (
                torch.ops.aten.slice.Tensor(x, dim, part.start, part.stop, part.step or 1),
                dim + 1,
            )
        elif isinstance(part, int):
            x = x.select(dim, part)
        else:
            part = torch.as_tensor(part)
            if part.dtype != torch.bool:  # of which nobody knows how many hold: all stay
                chosen[dim] = part
            dim += 1
    if chosen:
        x = torch.ops.aten.index.Tensor(x, [chosen.get(i) for i in range(dim)])
    return x


def _copied(tensor: Tensor, memo: dict[int, Any]) -> Any:
    """Stand in for ``Tensor.__deepcopy__``, which looks at the memory."""
    made = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        made = nn.Parameter(made, tensor.requires_grad)
    memo[id(tensor)] = made
    return made


def _replace(module: nn.Module, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
    """Stand in for ``nn.Module._apply``, which changes tensors in place; fake ones refuse that."""
    for child in module.children():
        child._apply(convert)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(convert(parameter), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = convert(buffer)
    return module


@contextmanager
def fake_card() -> Iterator[torch.device]:
    with (
        torch.no_grad(),  # outermost: it is left by `set_grad_enabled`, which is patched within
        pytest.MonkeyPatch.context() as patch,
        FakeTensorMode(allow_non_fake_inputs=True),
        _Numbers(),
        _Python(),
    ):
        patch.setattr(nn.Module, "_apply", _replace)
        for kind in (Tensor, nn.Parameter):
            patch.setattr(kind, "__deepcopy__", _copied)
        patch.setattr(torch, "set_grad_enabled", lambda mode: nullcontext())
        patch.setattr(F, "cross_entropy", lambda scores, labels: (scores.sum(1) - labels).mean())
        yield CUDA


@contextmanager
def meta() -> Iterator[torch.device]:
    with _Numbers():
        yield torch.device("meta")


@dataclasses.dataclass
class Given:
    """What objectives are made of, on a device."""

    device: torch.device
    dataset: Any

    @property
    def groups(self) -> LatentGroups:
        """Stay in the host's memory, as they do."""
        return LatentGroups(torch.zeros(4, 6, 4, 4, 4).half(), torch.ones(4, 6, 4, 4).half(), 2)

    @property
    def pairs(self) -> PairSet:
        """Of rendered groups."""
        return PairSet(known=self.groups, own=self.groups)

    def checkpoint(self, **settings: Any) -> Checkpoint:
        return tiny_checkpoint(**settings).to(torch.float32, self.device)

    def config(self, config: Any) -> Any:
        """Take the device as decided: resolving it would look for a card."""
        return changed(config, {"fit.device": "cpu", "fit.dtype": "float32"})


def distilling(given: Given, method: str) -> DistillInputs:
    changes = {
        "method": method, "losses.feature_weight": 1.0, "losses.fine_weight": 1.0,
        "teacher.targets": 32, "fit.batch_size": SAMPLES, "steps": 1,
    }  # fmt: skip
    student, teacher = given.checkpoint(), given.checkpoint(guidance_scale=1.5)
    return DistillInputs(
        student=student, teacher=teacher, pairs=given.pairs, held_out=given.pairs,
        judge=teacher.conditioner, config=given.config(changed(DistillConfig(), changes)),
    )  # fmt: skip


def trajectory(given: Given) -> StudentTask:
    inputs = distilling(given, "trajectory")
    steps = torch.tensor([999])
    found = Trajectories(torch.zeros(32, 1, 4, 4, 4), torch.zeros(32, 4, 4, 4), steps)
    return TrajectoryObjective(inputs, found)


def finetuning(given: Given) -> Objective:
    task = LcmObjective(distilling(given, "lcm"))
    return DecoderObjective(
        task, given.checkpoint().vae, given.dataset, given.dataset,
        fine_weight=1.0, adversarial_weight=1.0, seed=0,
    )  # fmt: skip


DISTILL: dict[str, Callable[[Given], Objective]] = {
    "trajectory": trajectory,
    "progressive": lambda given: ProgressiveObjective(
        distilling(given, "progressive"), steps=1, guided=True
    ),
    "lcm": lambda given: LcmObjective(distilling(given, "lcm")),
    "dmd2": lambda given: Dmd2Objective(distilling(given, "dmd2")),
}


def shrinking(given: Given) -> Objective:
    large = given.checkpoint()
    size = AutoencoderSize(patch_size=6, width=8, encoder_blocks=1, decoder_blocks=1)
    config = given.config(SmallAutoencoderConfig(size=size))
    space = dataclasses.replace(large.swap.latents, patch_size=6, mean=(0.0,), std=(1.0,))
    small = dataclasses.replace(large.swap, latents=space)
    module = build_small_autoencoder(config, large.swap).to(given.device)
    return SmallAutoencoderObjective(
        module, config, large.vae, large.swap, small, given.dataset, given.dataset
    )


def seeing_the_target(given: Given) -> Objective:
    size = OverlaySize(patch_size=2, width=8)
    config = given.config(TargetDecoderConfig(steps=1, augment_share=0.0, size=size))
    overlay = build_overlay(config.size, 0).to(given.device)
    pipeline = SwapPipeline.from_checkpoint(given.checkpoint())
    return TargetDecoderObjective(pipeline, overlay, config, given.dataset, given.dataset)


def train_autoencoder(given: Given) -> Objective:
    model = given.checkpoint()
    return AutoencoderObjective(model.vae, AutoencoderConfig(fit=FIT), given.dataset, given.dataset)


def train_identity(given: Given) -> Objective:
    examples = rendered(given.groups)
    config = IdentityConfig(fit=FIT)
    return IdentityObjective(given.checkpoint().conditioner, config, examples, examples)


def train_denoiser(given: Given) -> DenoiserObjective:
    model, examples = given.checkpoint(), rendered(given.groups)
    sight = examples.cached(Draw.of(0, 0), 2).to(given.device)
    metric = decoder_metric(model.vae, model.swap, sight.target, sight.mask)
    return DenoiserObjective(
        model.unet, model.conditioner, model.scheduler, model.swap, DenoiserConfig(fit=FIT),
        examples, examples, metric=metric, structure_weight=1.0,
    )  # fmt: skip


def train_decoder(given: Given) -> Objective:
    examples, model = rendered(given.groups), given.checkpoint()
    both = (examples, given.dataset)
    return SwapDecoderObjective(model.vae, model.swap, 1.0, train_denoiser(given), both, both)


def recovering(given: Given) -> Objective:
    config = RecoverConfig()
    data = RecoverData(train=given.groups, held_out=given.groups)
    return RecoverObjective(given.checkpoint(), given.checkpoint().unet, config, data)


def personalizing(given: Given) -> Objective:
    config = given.config(PersonalizeConfig(consent="nobody, now, a test"))
    person = PersonPhotos(torch.zeros(2, 4, 4, 4), torch.zeros(2, 3, 4, 4, 4), torch.ones(4, 4))
    return PersonalizeObjective(given.checkpoint(), config, person, given.groups)


OBJECTIVES: dict[str, dict[str, Callable[[Given], Objective]]] = {
    "train": {
        "autoencoder": train_autoencoder,
        "identity": train_identity,
        "denoiser": train_denoiser,
        "decoder": train_decoder,
    },
    "distill": {**DISTILL, "decoder": finetuning},
    "distill autoencoder": {"fit": shrinking},
    "distill decoder": {"fit": seeing_the_target},
    "prune": {"recover": recovering},
    "personalize": {"fit": personalizing},
}
"""Command -> what it fits."""

FITTED = [(command, name) for command, all_of in OBJECTIVES.items() for name in all_of]


def swap_crops(given: Given) -> None:
    """What evaluate, export and demo ask of torch, and the teacher's trajectories."""
    model = given.checkpoint(guidance_scale=1.5)
    crops = torch.zeros(2, 3, 24, 24)
    pipeline = SwapPipeline.from_checkpoint(model)
    output = pipeline(crops, crops, noise=torch.zeros(2, 4, 4, 4))
    assert output.crops.device == given.device


def trajectories(given: Given) -> None:
    config = changed(DistillConfig(), {"teacher.targets": 32})
    model, drawn = given.checkpoint(guidance_scale=1.5), trajectory_pairs(given.pairs, config)
    found = _sample(
        model, Sight(model), given.pairs, taken(drawn, np.arange(4)), slice(0, 4), config,
        lambda done: None,
    )  # fmt: skip
    assert {value.device for value in found.values()} == {torch.device("cpu")}


def encoding(given: Given) -> None:
    model = given.checkpoint()
    found = _encode_group(model.vae, model.swap, given.dataset.images(0))
    assert found.device == torch.device("cpu")


def disguising(given: Given) -> None:
    found = disguise(given.checkpoint(), torch.zeros(2, 3, 24, 24), given.groups, 2, 0)
    assert found.disguised.device == given.device


def calibrating(given: Given) -> None:
    model = given.checkpoint()
    samples = swap_samples(model, given.dataset, samples=16, seed=0)
    samples.loss(model.unet, samples.batches[0], samples.steps(0))
    back = samples.to(torch.device("cpu"))
    assert isinstance(back, CalibrationSamples)
    assert back.device == torch.device("cpu")


PASSES: dict[str, list[Callable[[Given], None]]] = {
    "evaluate": [swap_crops],
    "export": [swap_crops],
    "demo": [swap_crops],
    "distill": [trajectories, encoding],
    "train": [encoding],
    "personalize": [disguising],
    "prune": [calibrating],
}
"""Command -> what else it computes."""


def torch_commands() -> set[str]:
    """Commands with a --device that is torch's."""
    names = {name: target.partition(":")[0] for name, (target, _, _) in COMMANDS.items()}
    for child in ("autoencoder", "decoder"):
        names[f"distill {child}"] = f"edgeswap_compress.distill.{child}.cli"
    found = set()
    for name, module in names.items():
        if not module.startswith(("edgeswap_compress", "edgeswap_export")):
            continue
        parser = importlib.import_module(module).build_parser()
        if "--device" in parser._option_string_actions:
            found.add(name)
    return found


def test_no_command_and_no_method_is_forgotten() -> None:
    assert torch_commands() == OBJECTIVES.keys() | PASSES.keys()
    assert DISTILL.keys() == METHODS.keys()


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, noise_dataset: Any) -> Callable[[torch.device], Given]:
    def given(device: torch.device) -> Given:
        def compute(self: Any) -> Compute:
            return Compute(device, torch.float32)

        monkeypatch.setattr(FitMachine, "compute", compute)
        return Given(device, noise_dataset)

    return given


@pytest.mark.parametrize(("command", "name"), FITTED)
def test_losses_and_figures_stay_on_the_card(
    command: str, name: str, on: Callable[[torch.device], Given]
) -> None:
    with fake_card() as card:
        objective = OBJECTIVES[command][name](on(card))
        assert {p.device for p in objective.module.parameters()} == {card}
        loss, _ = objective.loss(Draw.of(0, 0), SAMPLES, 0.5)
        assert loss.device == card
        objective.evaluate()


@pytest.mark.parametrize(
    ("command", "run"), [(name, run) for name, runs in PASSES.items() for run in runs]
)
def test_passes_stay_on_the_card(
    command: str, run: Callable[[Given], None], on: Callable[[torch.device], Given]
) -> None:
    with fake_card() as card:
        run(on(card))


@pytest.mark.parametrize(("command", "name"), FITTED)
def test_a_training_step_on_meta(
    command: str, name: str, on: Callable[[torch.device], Given]
) -> None:
    with meta() as device:
        objective = OBJECTIVES[command][name](on(device))
        loss, _ = objective.loss(Draw.of(0, 0), SAMPLES, 0.5)
        loss.backward()
        learned = [p.grad for p in objective.module.parameters() if p.requires_grad]
        assert any(grad is not None for grad in learned)
        assert {grad.device for grad in learned if grad is not None} == {device}


def test_the_fake_card_tells_what_is_left_on_the_processor() -> None:
    with fake_card() as card, pytest.raises(RuntimeError, match="same device"):
        torch.ones(2, device=card) + torch.ones(2)


def mixes(given: Given) -> Tensor:
    model = given.checkpoint()
    return model.conditioner.condition(torch.zeros(1, 4, 4, 4)).tokens


def test_and_so_does_a_model_of_ours(on: Callable[[torch.device], Given]) -> None:
    with fake_card() as card, pytest.raises(RuntimeError, match="device"):
        mixes(on(card))
    assert np.isfinite(mixes(on(torch.device("cpu"))).detach().numpy()).all()
