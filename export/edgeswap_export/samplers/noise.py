"""The noise levels of a checkpoint, read from the diffusers scheduler and from nothing else."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from diffusers import DDIMScheduler

from edgeswap_export._errors import NoSignal, UnsupportedPrediction, UnsupportedSchedule
from edgeswap_export.samplers._linear import Linear, predictions

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True, slots=True)
class NoiseLevels:
    """What every sampler needs to know of a checkpoint's scheduler.

    Attributes:
        config: The complete scheduler config; every field is stated, none is left to a default.
        alphas_cumprod: Length num_train_timesteps; the diffusers scheduler's own float32 values,
            widened to float64.
        final_alpha_cumprod: What stands after the last step (1, or alphas_cumprod[0]).
        prediction_type: One of PREDICTION_TYPES.
    """

    config: dict[str, Any]
    alphas_cumprod: tuple[float, ...]
    final_alpha_cumprod: float
    prediction_type: str

    def scheduler(self, kind: Any, **settings: Any) -> Any:
        """Build the diffusers scheduler of another kind on the same noise levels.

        The complete config is handed over: diffusers would replace fields that were left at one
        class's default by the other class's default (LCM's betas differ from DDIM's).
        """
        return kind.from_config({**self.config, **settings})

    def after(self, timestep: int) -> float:
        """alphas_cumprod at a timestep, or the final one where the timestep is negative."""
        return self.alphas_cumprod[timestep] if timestep >= 0 else self.final_alpha_cumprod

    def predictions(self, timestep: int) -> tuple[Linear, Linear]:
        """The predicted clean sample and noise at a timestep, as functions of (sample, output)."""
        alpha, sigma = scales(self.alphas_cumprod[timestep])
        return predictions(self.prediction_type, alpha, sigma)


def scales(alpha_cumprod: float) -> tuple[float, float]:
    """Signal and noise scale (alpha, sigma) of the forward process at one noise level."""
    return math.sqrt(alpha_cumprod), math.sqrt(1.0 - alpha_cumprod)


def noise_levels(scheduler_config: Mapping[str, Any]) -> NoiseLevels:
    """Read the noise levels from a checkpoint's scheduler config.

    Args:
        scheduler_config: A diffusers DDIM scheduler's config (scheduler/scheduler_config.json).

    Raises:
        UnsupportedSchedule: The config clips or thresholds the predicted sample, which no table of
            scalars can do.
        UnsupportedPrediction: The prediction type is unknown.
    """
    given = {k: v for k, v in scheduler_config.items() if k != "_use_default_values"}
    kind: Any = DDIMScheduler
    base = kind.from_config(given)
    config = {k: v for k, v in base.config.items() if k != "_use_default_values"}
    assumed = set(base.config) - set(given) | set(scheduler_config.get("_use_default_values", ()))
    for field in ("clip_sample", "thresholding"):
        if config[field]:
            said = "does not say otherwise, so diffusers takes" if field in assumed else "says"
            raise UnsupportedSchedule(
                f"the scheduler config {said} {field}=true, which a table of scalars cannot"
                f" express; train without it and set {field} to false in"
                " scheduler/scheduler_config.json"
            )
    if config["prediction_type"] not in PREDICTION_TYPES:
        raise UnsupportedPrediction(config["prediction_type"])
    return NoiseLevels(
        config=config,
        alphas_cumprod=tuple(float(a) for a in base.alphas_cumprod),
        final_alpha_cumprod=float(base.final_alpha_cumprod),
        prediction_type=config["prediction_type"],
    )


@contextlib.contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Silence one warning: diffusers turns tensors into arrays in a way that numpy 2 dislikes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def visited(levels: NoiseLevels, scheduler: Any, steps: int) -> list[float]:
    """The timesteps a diffusers scheduler visits, checked to be usable.

    Raises:
        UnsupportedSchedule: diffusers refuses the count or rounds it to another (it does for a few,
            61 for one, when it counts down by 1000/61 in floating point).
        NoSignal: The model predicts noise, and a visited sample is nothing but noise.
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
    if levels.prediction_type == "epsilon" and levels.alphas_cumprod[top] == 0.0:
        raise NoSignal(top)
    return timesteps
