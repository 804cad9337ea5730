"""What importances measure: gradients against finite differences, definitions against formulas."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeswap_compress.plan.layers import WEIGHT_AXES, kind_of
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import noise_samples
from edgeswap_compress.prune.search._saliency import first_order, grouped, squared_weights
from edgeswap_compress.prune.search.importance import LOSS_THRESHOLD, score
from edgeswap_compress.prune.structure._families import tiny_unet
from edgeswap_compress.prune.structure.analysis import analyze
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup

TOKENS = 5


@cache
def unet() -> Any:
    return tiny_unet("swap")


@cache
def sets() -> tuple[ChannelGroup, ...]:
    return analyze(unet(), tokens=TOKENS).groups


@cache
def calibration() -> CalibrationSamples:
    return noise_samples(unet().config, tokens=TOKENS, samples=4, seed=0)


def scaled(chosen: ChannelGroup, channel: int, factor: float) -> Any:
    """A double-precision copy with everything a channel runs through scaled, once for each axis."""
    copy = deepcopy(unet()).double()
    with torch.no_grad():
        for member in chosen.members:
            layer: Any = copy.get_submodule(member.layer)
            dim = WEIGHT_AXES[kind_of(member.layer, layer)][member.axis]
            for offset in member.offsets:
                layer.weight.select(dim, offset + channel).mul_(factor)
                if member.axis == "out" and layer.bias is not None:
                    layer.bias[offset + channel] *= factor
    return copy


def in_double(batch: Any) -> Any:
    def given(sample: Tensor, timestep: Tensor) -> dict[str, Any]:
        parts = batch.given(sample, timestep)
        return {
            name: value.double() if isinstance(value, Tensor) and name != "timestep" else value
            for name, value in parts.items()
        }

    return type(batch)(
        clean=batch.clean.double(),
        noise=batch.noise.double(),
        given=given,
        weights=batch.weights.double(),
    )


@pytest.mark.parametrize("position", range(0, 12, 3))
def test_first_order_is_the_slope_of_the_loss(position: int) -> None:
    chosen, step = sets()[position], 1e-4
    batch, steps = in_double(calibration().batches[0]), calibration().steps(0)
    found = grouped(first_order(deepcopy(unet()).double(), sets(), [(batch, steps)], calibration()),
                    sets())  # fmt: skip
    for channel in (0, chosen.size - 1):
        with torch.no_grad():
            up, down = (
                float(calibration().loss(scaled(chosen, channel, 1 + sign * step), batch, steps))
                for sign in (1, -1)
            )
        slope = (up - down) / (2 * step)
        assert float(found[chosen.name][0, channel]) == pytest.approx(slope, rel=1e-3, abs=1e-8)


def test_gradients_leave_no_trace() -> None:
    copy = deepcopy(unet()).requires_grad_(False)
    first_order(copy, sets(), [(calibration().batches[0], calibration().steps(0))], calibration())
    assert all(p.grad is None and not p.requires_grad for p in copy.parameters())


def test_taylor_is_the_root_mean_square_of_the_batches() -> None:
    rows = []
    for number, batch in enumerate(calibration().batches):
        changes = first_order(unet(), sets(), [(batch, calibration().steps(number))], calibration())
        rows.append({name: values[0] for name, values in grouped(changes, sets()).items()})
    scores = score(unet(), sets(), "taylor", 0, samples=calibration())
    for chosen in sets():
        wanted = torch.stack([row[chosen.name] for row in rows]).square().mean(0).sqrt()
        wanted = wanted.reshape(-1, chosen.unit).mean(1).repeat_interleave(chosen.unit)
        np.testing.assert_allclose(scores[chosen.name], wanted.numpy(), rtol=1e-6)


def test_diff_pruning_sums_before_it_looks_and_leaves_small_losses_out() -> None:
    class Counted(CalibrationSamples):
        """Says that the first half of the schedule has next to no loss."""

        seen: list[int] = []  # noqa: RUF012

        def loss(self, unet: Any, batch: Any, steps: Tensor) -> Tensor:
            found = super().loss(unet, batch, steps)
            if torch.is_grad_enabled():
                self.seen.append(int(steps[0]))
            small = LOSS_THRESHOLD / 10 if int(steps[0]) < 500 else 1.0
            return found / found.detach() * small

    counted = Counted(
        batches=calibration().batches,
        alphas=calibration().alphas,
        prediction=calibration().prediction,
        origin="noise",
    )
    scores = score(unet(), sets(), "diff-pruning", 0, samples=counted)
    assert Counted.seen and min(Counted.seen) >= 500
    assert len(Counted.seen) == 16
    assert all((values >= 0).all() and values.any() for values in scores.values())


def test_magnitude_is_the_norm_of_all_that_goes() -> None:
    scores = score(unet(), sets(), "magnitude", 0)
    chosen = next(entry for entry in sets() if entry.name == "down_blocks.0.resnets.0.conv1")
    resnet: Any = unet().down_blocks[0].resnets[0]
    squares = resnet.conv1.weight[3].square().sum() + resnet.conv2.weight[:, 3].square().sum()
    width = resnet.conv1.out_channels
    for part in (3, width + 3):  # scale and shift
        squares = squares + resnet.time_emb_proj.weight[part].square().sum()
    assert scores[chosen.name][3] == pytest.approx(float(squares.detach().sqrt()), rel=1e-5)


def test_squares_are_summed_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = squared_weights(unet(), sets())
    monkeypatch.setattr("edgeswap_compress.prune.search._saliency._BLOCK", 100)
    for key, values in squared_weights(unet(), sets()).items():
        assert torch.allclose(values, whole[key]), key


def test_timesteps_cover_the_schedule() -> None:
    steps = torch.cat([calibration().steps(number) for number in range(len(calibration().batches))])
    assert sorted(steps.tolist()) == [249, 499, 749, 999]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_loss_of_what_is_wanted_is_nothing(prediction: Any) -> None:
    class Oracle(nn.Module):
        """Takes noise and sample apart again."""

        def forward(self, sample: Tensor, timestep: Tensor, **_: Any) -> Any:
            batch, steps = asked.batches[0], timestep.long()
            signal = asked.alphas[steps].sqrt().view(-1, 1, 1, 1)
            strength = (1 - asked.alphas[steps]).sqrt().view(-1, 1, 1, 1)
            noised = sample[:, : batch.clean.shape[1]]
            noise = (noised - signal * batch.clean) / strength
            answer = {
                "epsilon": noise,
                "sample": batch.clean,
                "v_prediction": signal * noise - strength * batch.clean,
            }[prediction]
            return type("Output", (), {"sample": answer})

    asked = CalibrationSamples(
        batches=calibration().batches[:1],
        alphas=calibration().alphas,
        prediction=prediction,
        origin="noise",
    )
    assert float(asked.loss(Oracle(), asked.batches[0], asked.steps(0))) == pytest.approx(
        0, abs=1e-6
    )
