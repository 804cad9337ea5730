"""Read a checkpoint's noise schedule from its diffusers scheduler config."""

from __future__ import annotations

import contextlib
import importlib
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgeswap_export._errors import NoSignal, UnsupportedPrediction, UnsupportedSchedule
from edgeswap_export.samplers._linear import Linear, predictions

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True, slots=True)
class NoiseSchedule:
    """The noise levels that a checkpoint was trained on.

    Attributes:
        config: the complete scheduler config; no field is left to a default.
        alphas_cumprod: by timestep; the float32 values of the diffusers scheduler, as float64.
        final_alpha_cumprod: the value after the last step: 1, or alphas_cumprod[0].
        prediction_type: one of `PREDICTION_TYPES`.
    """

    config: dict[str, Any]
    alphas_cumprod: tuple[float, ...]
    final_alpha_cumprod: float
    prediction_type: str

    def scheduler(self, kind: str, **settings: Any) -> Any:
        """Make a diffusers scheduler of another class with the same noise levels.

        The complete config is handed over: a field that was left out would take the other class's
        default (LCM's betas differ from DDIM's).

        Args:
            kind: name of the class in diffusers.
            settings: config fields to change.
        """
        scheduler = getattr(importlib.import_module("diffusers"), kind)
        return scheduler.from_config({**self.config, **settings})

    def after(self, timestep: int) -> float:
        """Return alphas_cumprod at a timestep, the final one where the timestep is negative."""
        return self.alphas_cumprod[timestep] if timestep >= 0 else self.final_alpha_cumprod

    def predictions(self, timestep: int) -> tuple[Linear, Linear]:
        """Express the predicted clean sample and noise at a timestep by sample and output."""
        alpha, sigma = scales(self.alphas_cumprod[timestep])
        return predictions(self.prediction_type, alpha, sigma)


def scales(alpha_cumprod: float) -> tuple[float, float]:
    """Return the signal and noise scale (alpha, sigma) at one alphas_cumprod."""
    return math.sqrt(alpha_cumprod), math.sqrt(1.0 - alpha_cumprod)


def read_noise_schedule(scheduler_config: Mapping[str, Any]) -> NoiseSchedule:
    """Read the noise schedule of a scheduler config.

    Args:
        scheduler_config: a diffusers DDIM scheduler's config (scheduler/scheduler_config.json).

    Raises:
        UnsupportedSchedule: the config clips or thresholds the predicted sample, which a table of
            numbers cannot do.
        UnsupportedPrediction: the prediction type is unknown.
    """
    given = {k: v for k, v in scheduler_config.items() if k != "_use_default_values"}
    base = importlib.import_module("diffusers").DDIMScheduler.from_config(given)
    config = {k: v for k, v in base.config.items() if k != "_use_default_values"}
    assumed = set(base.config) - set(given) | set(scheduler_config.get("_use_default_values", ()))
    for field in ("clip_sample", "thresholding"):
        if config[field]:
            said = "does not say otherwise, so diffusers takes" if field in assumed else "says"
            raise UnsupportedSchedule(
                f"the scheduler config {said} {field}=true, which a table of numbers cannot"
                f" express; train without it and set {field} to false in"
                " scheduler/scheduler_config.json"
            )
    if config["prediction_type"] not in PREDICTION_TYPES:
        raise UnsupportedPrediction(config["prediction_type"])
    return NoiseSchedule(
        config=config,
        alphas_cumprod=tuple(float(a) for a in base.alphas_cumprod),
        final_alpha_cumprod=float(base.final_alpha_cumprod),
        prediction_type=config["prediction_type"],
    )


@contextlib.contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Silence numpy 2's warning of how diffusers turns tensors into arrays."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def visited(noise: NoiseSchedule, scheduler: Any, steps: int) -> list[float]:
    """Return the timesteps that a diffusers scheduler visits, checked.

    Raises:
        UnsupportedSchedule: diffusers refuses the count or rounds it to another one. It does so for
            a few, such as 61, because it counts down by 1000/61 in floating point.
        NoSignal: the model predicts noise, and a visited sample is pure noise.
    """
    try:
        with quiet_diffusers():
            scheduler.set_timesteps(steps)
    except ValueError as error:
        raise UnsupportedSchedule(f"diffusers refuses {steps} steps: {error}") from error
    timesteps = [float(t) for t in scheduler.timesteps]
    if len(timesteps) != steps or min(timesteps) < 0:
        raise UnsupportedSchedule(
            f"diffusers rounds {steps} steps to {len(timesteps)} timesteps ending at"
            f" {timesteps[-1]:g}; expected {steps} ending at 0 or above: ask for another count"
        )
    if len(set(timesteps)) != steps:
        raise UnsupportedSchedule(
            f"{steps} steps visit only {len(set(timesteps))} different timesteps: ask for fewer"
        )
    top = math.ceil(max(timesteps))
    if noise.prediction_type == "epsilon" and noise.alphas_cumprod[top] == 0.0:
        raise NoSignal(top)
    return timesteps
