"""Calibration samples: fixed inputs, and the diffusion loss of a U-Net on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from edgeswap_compress.fit.noise_levels import NoiseLevels

FEWEST = 8  # samples that a first comparison of plans takes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationBatch:
    """A batch of samples with the U-Net's other inputs, all float32.

    Attributes:
        clean: (N, C, H, W) samples x_0.
        noise: (N, C, H, W) standard normal.
        given: makes the U-Net's keyword arguments from a noised sample and its timesteps.
        weights: (N, 1, H, W) of the loss, mean 1.
    """

    clean: Tensor
    noise: Tensor
    given: Callable[[Tensor, Tensor], Mapping[str, Any]]
    weights: Tensor

    def __len__(self) -> int:
        return len(self.clean)

    def to(self, device: torch.device) -> CalibrationBatch:
        """Copy the batch to a device, with what makes its inputs."""
        home, given = self.clean.device, self.given
        if device == home:
            return self

        def moved(noised: Tensor, steps: Tensor) -> Mapping[str, Any]:
            inputs: Mapping[str, Any] = _moved(given(noised.to(home), steps.to(home)), device)
            return inputs

        parts = (self.clean.to(device), self.noise.to(device), self.weights.to(device))
        return CalibrationBatch(clean=parts[0], noise=parts[1], given=moved, weights=parts[2])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationSamples:
    """Batches of fixed samples and the noise schedule of the U-Net that is pruned.

    Attributes:
        batches: at least one.
        alphas: (T,) cumulated ᾱ of the noise schedule.
        prediction: what the U-Net's output is.
        timestep_dtype: integers for U-Nets with a learned embedding of the timestep.
        origin: "data" for samples of a dataset, "noise" for seeded random numbers.
    """

    batches: tuple[CalibrationBatch, ...]
    alphas: Tensor
    prediction: Literal["epsilon", "v_prediction", "sample"]
    origin: Literal["data", "noise"]
    timestep_dtype: torch.dtype = torch.float32

    def to(self, device: torch.device) -> CalibrationSamples:
        """Copy all batches to a device, where the U-Nets are that they are for."""
        return replace(self, batches=tuple(batch.to(device) for batch in self.batches))

    @property
    def device(self) -> torch.device:
        """Give the device of the batches."""
        return self.batches[0].clean.device

    def few(self) -> CalibrationSamples:
        """Take a quarter of the batches, but at least 8 samples; they cover the schedule too."""
        size = len(self.batches[0])
        count = max(len(self.batches) // 4, -(-FEWEST // size))
        return replace(self, batches=self.batches[:count])

    def steps(self, number: int) -> Tensor:
        """Give the timesteps (N,) of one batch; those of all batches cover the schedule evenly."""
        size, count = len(self.batches[number]), len(self.batches)
        places = torch.arange(size, device=self.batches[number].clean.device) * count + number + 1
        return places * len(self.alphas) // (size * count) - 1

    def inputs(self, batch: CalibrationBatch, steps: Tensor) -> dict[str, Any]:
        """Make the keyword arguments of the U-Net at timesteps (N,)."""
        noised = self._levels.add(batch.clean, batch.noise, steps)
        return dict(batch.given(noised, steps.to(self.timestep_dtype)))

    def output(self, unet: Any, batch: CalibrationBatch, steps: Tensor) -> Tensor:
        """Predict (N, C, H, W); learned variances behind the prediction are left out."""
        output: Tensor = unet(**self.inputs(batch, steps)).sample
        return output[:, : batch.clean.shape[1]]

    def loss(self, unet: Any, batch: CalibrationBatch, steps: Tensor) -> Tensor:
        """Compute the weighted mean square error, a scalar (2006.11239, eq. 14)."""
        noised = self._levels.add(batch.clean, batch.noise, steps)
        wanted = self._levels.wanted(noised, batch.clean, steps)
        return ((self.output(unet, batch, steps) - wanted).square() * batch.weights).mean()

    @torch.no_grad()
    def outputs(self, unet: Any) -> list[Tensor]:
        """Predict every batch at its `steps`."""
        return [
            self.output(unet, batch, self.steps(number))
            for number, batch in enumerate(self.batches)
        ]

    def distance(self, unet: Any, wanted: list[Tensor]) -> float:
        """Compute the weighted mean square distance to another U-Net's `outputs`.

        Where the other's loss is at its minimum, this is how much higher the loss is here: the
        error of a conditional mean is uncorrelated with every function of its inputs.
        """
        apart = [
            float(((found - other).square() * batch.weights).mean())
            for found, other, batch in zip(self.outputs(unet), wanted, self.batches, strict=True)
        ]
        return sum(apart) / len(apart)

    @property
    def _levels(self) -> NoiseLevels:
        return NoiseLevels.of_alphas(self.alphas, self.prediction)


def _moved(values: Any, device: torch.device) -> Any:
    """Copy tensors to a device, those in mappings and lists too."""
    if isinstance(values, Tensor):
        return values.to(device)
    if isinstance(values, Mapping):
        return {name: _moved(value, device) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(_moved(value, device) for value in values)
    return values
