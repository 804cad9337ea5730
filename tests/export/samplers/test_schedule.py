"""Every schedule table does, step by step, what its diffusers scheduler does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from edgeswap_export.samplers._ddim import DdimOptions
from edgeswap_export.samplers._ddpm import DdpmOptions
from edgeswap_export.samplers._langevin import LangevinOptions
from edgeswap_export.samplers._lcm import LcmOptions
from edgeswap_export.samplers.schedule import SAMPLERS, schedule_table
from edgeswap_runtime.bundle.manifest import Schedule

SHAPE = (1, 4, 8, 8)

# diffusers turns tensors into arrays in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# The diffusers schedulers run in float64 (see `in_double`), so only these differences remain,
# relative to the largest sample before and after the step:
# ddpm: diffusers clamps the last variance to 1e-20, which is noise of standard deviation 1e-10;
# euler, dpmpp_2m: none but rounding, amplified by the start at sigma = 4096.
CLOSE = 1e-9
# ddim at eta = 1 takes the root of a difference that is zero at zero SNR: the root of 1e-16.
ROOT = 3e-8
# lcm's boundary scalings are float32 in diffusers whatever the sample is (epsilon 6e-8).
BOUNDARY = 1e-6

CONFIGS = {
    "v, zero SNR": {},
    "v": {"rescale_betas_zero_snr": False},
    "epsilon": {"rescale_betas_zero_snr": False, "prediction_type": "epsilon"},
    "sample, zero SNR": {"prediction_type": "sample"},
    "v, linear betas, leading": {
        "rescale_betas_zero_snr": False,
        "beta_schedule": "linear",
        "timestep_spacing": "leading",
        "steps_offset": 1,
    },
    "epsilon, SD betas, linspace, last alpha kept": {
        "rescale_betas_zero_snr": False,
        "prediction_type": "epsilon",
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "timestep_spacing": "linspace",
        "set_alpha_to_one": False,
    },
}

CASES: dict[str, tuple[str, Any, str, dict[str, Any], dict[str, Any], float]] = {
    "ddim": ("ddim", None, "DDIMScheduler", {}, {}, CLOSE),
    "ddim eta=0.4": ("ddim", DdimOptions(eta=0.4), "DDIMScheduler", {}, {"eta": 0.4}, CLOSE),
    "ddim eta=1": ("ddim", DdimOptions(eta=1.0), "DDIMScheduler", {}, {"eta": 1.0}, ROOT),
    "ddpm": ("ddpm", None, "DDPMScheduler", {}, {}, CLOSE),
    "ddpm large": (
        "ddpm",
        DdpmOptions(variance="fixed_large"),
        "DDPMScheduler",
        {"variance_type": "fixed_large"},
        {},
        CLOSE,
    ),
    "langevin without corrector": (
        "langevin",
        LangevinOptions(corrector_steps=0),
        "DDPMScheduler",
        {},
        {},
        CLOSE,
    ),
    "euler": ("euler", None, "EulerDiscreteScheduler", {}, {}, CLOSE),
    "dpmpp_2m": ("dpmpp_2m", None, "DPMSolverMultistepScheduler", {}, {}, CLOSE),
    "lcm": ("lcm", None, "LCMScheduler", {}, {}, BOUNDARY),
    "lcm on 100": (
        "lcm",
        LcmOptions(original_steps=100, timestep_scaling=3.0),
        "LCMScheduler",
        {"original_inference_steps": 100, "timestep_scaling": 3.0},
        {},
        BOUNDARY,
    ),
}


def fake_model(x: Any, timestep: float) -> Any:
    """A fixed, nonlinear function of sample and timestep; takes numpy and torch alike."""
    tanh = torch.tanh if isinstance(x, torch.Tensor) else np.tanh
    return tanh(0.7 * x + 0.3 * np.sin(timestep / 150.0)) + 0.05 * x


def table_samples(schedule: Schedule, start: np.ndarray, noises: list[np.ndarray]) -> list[Any]:
    """x after every row, by the formula of the bundle format."""
    x, history, seen = schedule.initial_noise_scale * start, np.zeros_like(start), []
    for row, noise in zip(schedule.rows, noises, strict=True):
        output = fake_model(row.input_scale * x, row.timestep)
        x, history = (
            row.sample * x + row.output * output + row.noise * noise + row.history * history,
            row.history_sample * x + row.history_output * output,
        )
        seen.append(x)
    return seen


def diffusers_samples(
    scheduler: Any, steps: int, start: np.ndarray, extra: dict[str, Any]
) -> list[Any]:
    """x after every step of the diffusers scheduler itself, in float64."""
    for name in ("alphas_cumprod", "final_alpha_cumprod", "one"):
        if hasattr(scheduler, name):
            setattr(scheduler, name, getattr(scheduler, name).double())
    x, seen = torch.from_numpy(start) * float(scheduler.init_noise_sigma), []
    for timestep in scheduler.timesteps:
        output = fake_model(scheduler.scale_model_input(x, timestep), float(timestep))
        x = scheduler.step(output, timestep, x, return_dict=False, **extra)[0]
        seen.append(x.numpy())
    return seen


class DoubleTorch:
    """The torch module, where what is called float32 is float64."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, list[np.ndarray]], None]:
    """Lift a diffusers scheduler's casts to float64 and make it draw its noise from a list."""

    def lift(scheduler: Any, noises: list[np.ndarray]) -> None:
        queue: Iterator[np.ndarray] = iter(noises)
        module = sys.modules[type(scheduler).__module__]
        monkeypatch.setattr(module, "torch", DoubleTorch())
        if hasattr(module, "randn_tensor"):
            monkeypatch.setattr(
                module, "randn_tensor", lambda *_, **__: torch.from_numpy(next(queue))
            )
        if hasattr(scheduler, "sigmas"):
            scheduler.sigmas = scheduler.sigmas.double()

    return lift


@pytest.mark.parametrize("steps", [1, 2, 3, 25, 50])
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("case", CASES)
def test_table_equals_diffusers(
    case: str, config: str, steps: int, scheduler_config: dict[str, Any], in_double: Any
) -> None:
    sampler, options, kind, settings, extra, tolerance = CASES[case]
    full = {**diffusers.DDIMScheduler().config, **scheduler_config, **CONFIGS[config]}
    full = {k: v for k, v in full.items() if not k.startswith("_")}
    random = np.random.default_rng(5)
    start = random.standard_normal(SHAPE)
    noises = [random.standard_normal(SHAPE) for _ in range(steps)]
    scheduler = getattr(diffusers, kind).from_config({**full, **settings})
    scheduler.set_timesteps(steps)

    table = table_samples(schedule_table(full, sampler, steps, options), start, noises)
    in_double(scheduler, noises)
    truth = diffusers_samples(scheduler, steps, start, extra)

    assert len(table) == len(truth) == steps
    before = np.abs(start).max() * float(scheduler.init_noise_sigma)
    for step, (ours, theirs) in enumerate(zip(table, truth, strict=True)):
        largest = max(before, np.abs(theirs).max())
        assert np.abs(ours - theirs).max() <= tolerance * largest, f"step {step}"
        before = np.abs(theirs).max()


def test_every_sampler_is_covered() -> None:
    assert {case[0] for case in CASES.values()} == set(SAMPLERS)


def test_options_default(scheduler_config: dict[str, Any]) -> None:
    for name, entry in SAMPLERS.items():
        explicit = schedule_table(scheduler_config, name, 4, entry.options())
        assert explicit == schedule_table(scheduler_config, name, 4)
        assert all(np.isfinite(v) for row in explicit.rows for v in asdict(row).values())
