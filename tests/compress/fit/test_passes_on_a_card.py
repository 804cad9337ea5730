"""What commands compute without gradients, on a card that is not there."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeswap_compress import SwapPipeline
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.material.trajectories import _sample, trajectory_pairs
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.latent_cache import _encode_group
from edgeswap_compress.fit.material.pairs import taken
from edgeswap_compress.fit.material.sight import Sight
from edgeswap_compress.personalize import photos
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import swap_samples


def swap_crops(given: Any) -> None:
    """What evaluate, export and demo ask of torch, and the teacher's trajectories."""
    model = given.checkpoint(guidance_scale=1.5)
    crops = torch.zeros(2, 3, 24, 24)
    pipeline = SwapPipeline.from_checkpoint(model)
    output = pipeline(crops, crops, noise=torch.zeros(2, 4, 4, 4))
    assert output.crops.device == given.device


def trajectories(given: Any) -> None:
    config = changed(DistillConfig(), {"teacher.targets": 32})
    model, drawn = given.checkpoint(guidance_scale=1.5), trajectory_pairs(given.pairs, config)
    found = _sample(
        model, Sight(model), given.pairs, taken(drawn, np.arange(4)), slice(0, 4), config,
        lambda done: None,
    )  # fmt: skip
    assert {value.device for value in found.values()} == {torch.device("cpu")}


def encoding(given: Any) -> None:
    model = given.checkpoint()
    found = _encode_group(model.vae, model.swap, given.dataset.images(0))
    assert found.device == torch.device("cpu")


def disguising(given: Any) -> None:
    def read(tensor: Tensor) -> Any:
        assert tensor.device == given.device
        return np.zeros((len(tensor), 24, 24, 3), np.uint8)

    crops = np.zeros((2, 24, 24, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "_to_crops", read)
        pipeline = SwapPipeline.from_checkpoint(given.checkpoint())
        assert len(photos._disguised(pipeline, crops, crops, 0, None)) == 4


def calibrating(given: Any) -> None:
    model = given.checkpoint()
    samples = swap_samples(model, given.dataset, samples=16, seed=0)
    samples.loss(model.unet, samples.batches[0], samples.steps(0))
    back = samples.to(torch.device("cpu"))
    assert isinstance(back, CalibrationSamples)
    assert back.device == torch.device("cpu")


PASSES: dict[str, list[Callable[[Any], None]]] = {
    "evaluate": [swap_crops],
    "export": [swap_crops],
    "demo": [swap_crops],
    "distill": [trajectories, encoding],
    "train": [encoding],
    "distill autoencoder": [encoding],
    "distill decoder": [swap_crops],
    "personalize": [disguising, encoding],
    "prune": [calibrating, encoding],
}
"""Command -> what else it computes."""


def test_no_command_is_forgotten(torch_commands: dict[str, Any]) -> None:
    assert PASSES.keys() == torch_commands.keys()


@pytest.mark.parametrize(
    ("command", "run"), [(name, run) for name, runs in PASSES.items() for run in runs]
)
def test_passes_stay_on_the_card(
    command: str, run: Callable[[Any], None], on: Callable[[torch.device], Any], card: ModuleType
) -> None:
    with card.fake_card() as device:
        run(on(device))


def test_the_fake_card_tells_what_is_left_on_the_processor(card: ModuleType) -> None:
    with card.fake_card() as device, pytest.raises(RuntimeError, match="same device"):
        torch.ones(2, device=device) + torch.ones(2)


def mixes(given: Any) -> Tensor:
    model = given.checkpoint()
    return model.conditioner.condition(torch.zeros(1, 4, 4, 4)).tokens


def test_and_so_does_a_model_of_ours(on: Callable[[torch.device], Any], card: ModuleType) -> None:
    with card.fake_card() as device, pytest.raises(RuntimeError, match="device"):
        mixes(on(device))
    assert np.isfinite(mixes(on(torch.device("cpu"))).detach().numpy()).all()
