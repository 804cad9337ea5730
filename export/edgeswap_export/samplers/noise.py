"""Read a checkpoint's noise schedule from its diffusers scheduler config."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgeswap_compress.diffusers_folder.config import NOISE_CLASSES
from edgeswap_export._errors import NoSignal, UnsupportedPrediction, UnsupportedSchedule
from edgeswap_export.samplers._linear import Linear, predictions

SOLVER_FIELDS = ("algorithm_type", "lower_order_final", "solver_order", "solver_type")
"""What classes say of their solver, each in words of its own."""

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True, slots=True)
class NoiseSchedule:
    """The noise levels that a checkpoint was trained on.

    Attributes:
        kind: diffusers' class that the config is of.
        config: the complete scheduler config; no field is left to a default.
        alphas_cumprod: by timestep; the float32 values of the diffusers scheduler, as float64.
        final_alpha_cumprod: the value after the last step: 1, or alphas_cumprod[0].
        prediction_type: one of `PREDICTION_TYPES`.
    """

    kind: str
    config: dict[str, Any]
    alphas_cumprod: tuple[float, ...]
    final_alpha_cumprod: float
    prediction_type: str

    def scheduler(self, kind: str, **settings: Any) -> Any:
        """Make a diffusers scheduler of some class with the same noise levels.

        The complete config is handed over: a field that was left out would take the other class's
        default (LCM's betas differ from DDIM's). Only what a class says of its own solver is not
        another's business.

        Args:
            kind: name of the class in diffusers.
            settings: config fields to change.
        """
        scheduler = getattr(importlib.import_module("diffusers"), kind)
        try:
            return scheduler.from_config({**self.settings(kind), **settings})
        except (ImportError, NotImplementedError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UnsupportedSchedule(f"diffusers' {kind} refuses the config: {reason}") from error

    def settings(self, kind: str) -> dict[str, Any]:
        """Return what of the config concerns a class of diffusers."""
        if kind == self.kind:
            return dict(self.config)
        return {k: v for k, v in self.config.items() if k not in SOLVER_FIELDS}

    def require(self, kind: str, field: str, allowed: tuple[Any, ...]) -> None:
        """Raise UnsupportedSchedule where the config states what a table cannot hold.

        Args:
            kind: class of diffusers that the table is made of.
            field: of the config; fine where it does not concern that class.
            allowed: its possible values.
        """
        found = self.settings(kind).get(field, allowed[0])
        if found not in allowed:
            expected = " or ".join(map(str, allowed))
            raise UnsupportedSchedule(
                f"the scheduler config says {field}={found}, which no table here holds: expected"
                f" {expected}"
            )

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


def read_noise_schedule(
    scheduler_config: Mapping[str, Any], spacing: str | None = None
) -> NoiseSchedule:
    """Read the noise schedule of a scheduler config.

    What the config does not state has the default of the class that it names; a config without a
    class is DDIM's.

    Args:
        scheduler_config: a diffusers scheduler's config (scheduler/scheduler_config.json).
        spacing: of the timesteps; None takes the config's own.

    Raises:
        UnsupportedSchedule: the config clips or thresholds the predicted sample, which a table of
            numbers cannot do.
        UnsupportedPrediction: the prediction type is unknown.
    """
    given = {k: v for k, v in scheduler_config.items() if not k.startswith("_")}
    kind = _kind_of(scheduler_config)
    own = _complete(kind, given)
    # A class that cannot clip has no such field, and DDIM's default would clip.
    config = {"clip_sample": False, "thresholding": False, **own}
    if spacing is not None:
        config["timestep_spacing"] = spacing
    levels = importlib.import_module("diffusers").DDIMScheduler.from_config(config)
    assumed = set(config) - set(given) | set(scheduler_config.get("_use_default_values", ()))
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
        kind=kind,
        config=config,
        alphas_cumprod=tuple(float(a) for a in levels.alphas_cumprod),
        final_alpha_cumprod=float(levels.final_alpha_cumprod),
        prediction_type=config["prediction_type"],
    )


def _kind_of(config: Mapping[str, Any]) -> str:
    kind = config.get("_class_name", "DDIMScheduler")
    if kind not in NOISE_CLASSES:
        raise UnsupportedSchedule(
            f"the scheduler config is a {kind}'s, whose noise is none that a table here is made"
            f" of: expected one of {', '.join(NOISE_CLASSES)}"
        )
    return str(kind)


def _complete(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults of a diffusers class to a config; what the class does not know stays."""
    made = getattr(importlib.import_module("diffusers"), kind)
    names = inspect.signature(made.__init__).parameters.values()
    defaults = {p.name: p.default for p in names if p.default is not inspect.Parameter.empty}
    return {**defaults, **given}


@contextlib.contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Silence numpy 2's warning of how diffusers turns tensors into arrays."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def visited(
    noise: NoiseSchedule, scheduler: Any, steps: int, first: int = 0, *, by_index: bool = False
) -> list[float]:
    """Return the timesteps that a diffusers scheduler visits, checked.

    Args:
        noise: the checkpoint's noise schedule.
        scheduler: made for it.
        steps: of the whole schedule.
        first: how many steps are left out.
        by_index: the scheduler counts its steps and has `sigmas`, so that a timestep may come twice
            where sigma differs.

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
    places = [float(s) for s in scheduler.sigmas][:steps] if by_index else timesteps
    if len(set(places)) != steps:
        raise UnsupportedSchedule(
            f"{steps} steps visit only {len(set(places))} different timesteps: ask for fewer"
        )
    timesteps = timesteps[first:]
    top = math.ceil(max(timesteps))
    if noise.prediction_type == "epsilon" and noise.alphas_cumprod[top] == 0.0:
        raise NoSignal(top)
    return timesteps
