"""Spacing, start and blending: the runtime's sampler does what diffusers' pipelines do."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from edgeswap_export._errors import UnsupportedSchedule
from edgeswap_export._schedules import ScheduleRequest
from edgeswap_export.samplers.options import SPACINGS, SamplingPath
from edgeswap_export.samplers.schedule import SAMPLERS, reference_scheduler, schedule_table
from edgeswap_runtime.sampler import TargetLatents, sample_latents

SHAPE = (1, 4, 6, 6)
CLOSE = 1e-5
"""Largest difference, relative to the largest sample: the runtime computes in float32."""

# diffusers turns tensors into arrays in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SD = {
    "_class_name": "PNDMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "skip_prk_steps": True,
}
"""A scheduler config of Stable Diffusion: of a class that is no sampler here, and not complete."""


def fake_model(x: Any, timestep: float) -> Any:
    """A fixed, nonlinear function of sample and timestep; takes numpy and torch alike."""
    tanh = torch.tanh if isinstance(x, torch.Tensor) else np.tanh
    return tanh(0.7 * x + 0.3 * math.sin(timestep / 150.0)) + 0.05 * x


def pipeline_samples(
    scheduler: Any, steps: int, path: SamplingPath, target: TargetLatents, noise: torch.Tensor
) -> Any:
    """Sample as diffusers' image-to-image and inpainting pipelines do, with their scheduler."""
    first = 0
    if path.strength is not None:
        first = steps - min(int(steps * path.strength), steps)
    timesteps = scheduler.timesteps[first:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    latents = torch.from_numpy(target.latents)
    if path.strength is None:
        x = noise * float(scheduler.init_noise_sigma)
    else:
        x = scheduler.add_noise(latents, noise, timesteps[:1])
    for index, timestep in enumerate(timesteps):
        output = fake_model(scheduler.scale_model_input(x, timestep), float(timestep))
        x = scheduler.step(output, timestep, x, return_dict=False)[0]
        if path.blend:
            kept = latents
            if index + 1 < len(timesteps):
                kept = scheduler.add_noise(latents, noise, timesteps[index + 1 : index + 2])
            mask = torch.from_numpy(target.mask)
            x = mask * x + (1 - mask) * kept
    return x.numpy()


class DoubleTorch:
    """The torch module, where what is called float32 is float64."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, list[np.ndarray]], None]:
    """Make a diffusers scheduler compute in float64, with noise from a list."""

    def lift(scheduler: Any, noises: list[np.ndarray]) -> None:
        queue: Iterator[np.ndarray] = iter(noises)
        module = sys.modules[type(scheduler).__module__]
        monkeypatch.setattr(module, "torch", DoubleTorch())
        if hasattr(module, "randn_tensor"):
            monkeypatch.setattr(
                module, "randn_tensor", lambda *_, **__: torch.from_numpy(next(queue))
            )
        for name in ("alphas_cumprod", "final_alpha_cumprod", "one"):
            if hasattr(scheduler, name):
                setattr(scheduler, name, getattr(scheduler, name).double())
        if hasattr(scheduler, "sigmas"):
            scheduler.sigmas = scheduler.sigmas.double()

    return lift


@pytest.mark.parametrize("blend", [False, True])
@pytest.mark.parametrize("strength", [None, 1.0, 0.55])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "langevin"])
def test_runtime_equals_the_pipelines(
    sampler: str, spacing: str, prediction: str, strength: float | None, blend: bool, in_double: Any
) -> None:
    path = SamplingPath(spacing=spacing, strength=strength, blend=blend)
    config = {**SD, "prediction_type": prediction}
    for steps in (2, 7, 20):
        random = np.random.default_rng(steps)
        noises = [random.standard_normal(SHAPE) for _ in range(steps + 1)]
        mask = (random.random((1, 1, *SHAPE[2:])) > 0.4).astype(np.float64)
        target = TargetLatents(random.standard_normal(SHAPE), mask)

        table = schedule_table(config, sampler, steps, path=path)
        drawn = iter(noise.astype(np.float32) for noise in noises)
        small = TargetLatents(target.latents.astype(np.float32), mask.astype(np.float32))
        found = sample_latents(table, fake_model, lambda d=drawn: next(d), target=small)

        scheduler = reference_scheduler(config, sampler, path=path)
        scheduler.set_timesteps(steps)
        in_double(scheduler, noises[1:])
        truth = pipeline_samples(scheduler, steps, path, target, torch.from_numpy(noises[0]))
        assert found.dtype == np.float32
        largest = max(np.abs(truth).max(), 1.0 if strength else table.initial_noise_scale)
        assert np.abs(found - truth).max() <= CLOSE * largest, steps


KARRAS = {
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "last sigma kept": {"final_sigmas_type": "sigma_min"},
    "offset": {"steps_offset": 3, "timestep_spacing": "leading"},
}
OWN = {
    "euler": {**KARRAS, "logarithmic": {"interpolation_type": "log_linear"}},
    "dpmpp_2m": {
        **KARRAS,
        "lu": {"use_lu_lambdas": True},
        "heun": {"solver_type": "heun"},
        "first order": {"solver_order": 1},
        "first order at the end": {"euler_at_final": True, "final_sigmas_type": "sigma_min"},
        "second order to the end": {
            "lower_order_final": False,
            "final_sigmas_type": "sigma_min",
        },
    },
    "lcm": {"few": {"original_inference_steps": 40, "timestep_scaling": 7.0}},
    "ddpm": {"large": {"variance_type": "fixed_large"}},
    "ddim": {"offset": {"steps_offset": 2, "timestep_spacing": "leading"}},
}
CLASSES = {
    "euler": "EulerDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "lcm": "LCMScheduler",
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
}


@pytest.mark.parametrize("strength", [None, 0.5])
@pytest.mark.parametrize(
    ("sampler", "name"), [(sampler, name) for sampler in OWN for name in OWN[sampler]]
)
def test_a_sampler_s_own_config_is_honored(
    sampler: str, name: str, strength: float | None, in_double: Any
) -> None:
    """The scheduler is made by diffusers alone, of the same config."""
    betas = {key: SD[key] for key in ("beta_schedule", "beta_start", "beta_end")}
    given = {**betas, "clip_sample": False, **OWN[sampler][name]}
    kind = getattr(diffusers, CLASSES[sampler])
    config = {**given, "_class_name": CLASSES[sampler]}
    path = SamplingPath(strength=strength, blend=strength is not None)
    for steps in (6, 18):
        random = np.random.default_rng(steps)
        noises = [random.standard_normal(SHAPE) for _ in range(steps + 1)]
        target = TargetLatents(random.standard_normal(SHAPE), np.ones((1, 1, 1, 1)))
        table = schedule_table(config, sampler, steps, path=path)
        drawn = iter(noise.astype(np.float32) for noise in noises)
        small = TargetLatents(target.latents.astype(np.float32), np.ones((1, 1, 1, 1), np.float32))
        found = sample_latents(table, fake_model, lambda d=drawn: next(d), target=small)
        scheduler = kind(**{k: v for k, v in given.items() if k in kind().config})
        scheduler.set_timesteps(steps)
        in_double(scheduler, noises[1:])
        truth = pipeline_samples(scheduler, steps, path, target, torch.from_numpy(noises[0]))
        largest = max(np.abs(truth).max(), table.initial_noise_scale)
        assert np.abs(found - truth).max() <= CLOSE * largest, steps


@pytest.mark.parametrize(
    ("sampler", "changes", "message"),
    [
        ("dpmpp_2m", {"solver_order": 3}, "solver_order=3, which no table here holds"),
        ("dpmpp_2m", {"algorithm_type": "sde-dpmsolver++"}, "algorithm_type=sde-dpmsolver++"),
        ("dpmpp_2m", {"use_flow_sigmas": True}, "use_flow_sigmas=True"),
        ("dpmpp_2m", {"variance_type": "learned_range"}, "variance_type=learned_range"),
        ("dpmpp_2m", {"algorithm_type": "dpmsolver"}, "algorithm_type=dpmsolver,"),
        ("euler", {"timestep_type": "continuous"}, "timestep_type=continuous"),
        ("ddpm", {"variance_type": "learned"}, "ddpm variance must be one of"),
        ("ddim", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "is a FlowMatchEuler"),
        ("ddim", {"thresholding": True}, "says thresholding=true"),
    ],
)
def test_what_no_table_holds_is_refused_by_name(
    sampler: str, changes: dict[str, Any], message: str
) -> None:
    config = {**SD, "_class_name": CLASSES[sampler], "clip_sample": False, **changes}
    with pytest.raises(UnsupportedSchedule) as caught:
        schedule_table(config, sampler, 4)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_class_s_solver_is_not_this_one_s() -> None:
    """UniPC's solver_type names another thing, so that the default table follows."""
    unipc = {**SD, "_class_name": "UniPCMultistepScheduler", "solver_type": "bh1"}
    plain = schedule_table({**SD, "timestep_spacing": "linspace"}, "dpmpp_2m", 4)
    assert schedule_table(unipc, "dpmpp_2m", 4) == plain


def test_paths_are_checked() -> None:
    with pytest.raises(UnsupportedSchedule, match="spacing must be one of leading, linspace"):
        SamplingPath(spacing="even")
    for strength in (0.0, 1.5, float("nan")):
        with pytest.raises(UnsupportedSchedule, match="strength must lie above 0 and up to 1"):
            SamplingPath(strength=strength)
    with pytest.raises(UnsupportedSchedule, match=r"strength 0\.2 of 4 steps leaves none"):
        schedule_table(SD, "ddim", 4, path=SamplingPath(strength=0.2))


def test_a_request_names_its_path_and_is_read_back() -> None:
    request = ScheduleRequest.parse("ddim:8:eta=0.5,spacing=linspace,strength=0.7,blend=true")
    assert request.path == SamplingPath(spacing="linspace", strength=0.7, blend=True)
    assert request.name == "ddim-8-eta=0.5-spacing=linspace-strength=0.7-blend=True"
    assert ScheduleRequest.from_json(request.to_json()) == request
    assert ScheduleRequest.parse("ddim:8").name == "ddim-8"
    with pytest.raises(UnsupportedSchedule, match="blend: expected true or false, found 'x'"):
        ScheduleRequest.parse("ddim:8:blend=x")
    with pytest.raises(UnsupportedSchedule, match="'strength=x': expected a number"):
        ScheduleRequest.parse("ddim:8:strength=x")
