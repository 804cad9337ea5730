"""What cannot be written as a table is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest

from edgeswap_export._errors import (
    NoSignal,
    UnknownSampler,
    UnsupportedPrediction,
    UnsupportedSchedule,
)
from edgeswap_export.samplers._ddim import DdimOptions
from edgeswap_export.samplers._ddpm import DdpmOptions
from edgeswap_export.samplers._langevin import LangevinOptions
from edgeswap_export.samplers._lcm import LcmOptions
from edgeswap_export.samplers.schedule import SAMPLERS, schedule_table

REFUSALS: dict[str, tuple[dict[str, Any], str, int, Any, type[Exception], str]] = {
    "sampler": (
        {},
        "heun",
        4,
        None,
        UnknownSampler,
        "unknown sampler 'heun'; expected one of",
    ),
    "steps": ({}, "ddim", 0, None, UnsupportedSchedule, "steps must be at least 1, found 0"),
    "too many": ({}, "ddim", 1001, None, UnsupportedSchedule, "diffusers refuses 1001 steps"),
    "too many lcm": ({}, "lcm", 51, None, UnsupportedSchedule, "diffusers refuses 51 steps"),
    "uneven": ({}, "ddim", 61, None, UnsupportedSchedule, "rounds 61 steps to 62 timesteps"),
    "repeated": (
        {"timestep_spacing": "linspace", "num_train_timesteps": 10},
        "dpmpp_2m",
        15,
        None,
        UnsupportedSchedule,
        "15 steps visit only",
    ),
    "foreign options": (
        {},
        "ddpm",
        4,
        DdimOptions(),
        UnsupportedSchedule,
        "ddpm takes DdpmOptions, found DdimOptions",
    ),
    "clipping": (
        {"clip_sample": True},
        "ddim",
        4,
        None,
        UnsupportedSchedule,
        "config says clip_sample=",
    ),
    "threshold": (
        {"thresholding": True},
        "ddim",
        4,
        None,
        UnsupportedSchedule,
        "thresholding=",
    ),
    "flow": (
        {"prediction_type": "flow_prediction"},
        "euler",
        4,
        None,
        UnsupportedPrediction,
        "prediction_type 'flow_prediction' is not supported; expected epsilon, sample or",
    ),
    **{
        f"no signal, {name}": (
            {"prediction_type": "epsilon"},
            name,
            4,
            None,
            NoSignal,
            "epsilon prediction at timestep 999 is impossible",
        )
        for name in SAMPLERS
    },
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused(refusal: str, scheduler_config: dict[str, Any]) -> None:
    changes, sampler, steps, options, kind, message = REFUSALS[refusal]
    with pytest.raises(kind) as caught:
        schedule_table({**scheduler_config, **changes}, sampler, steps, options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loaded", [False, True])
def test_what_diffusers_assumes_is_not_said_by_the_config(
    loaded: bool, scheduler_config: dict[str, Any]
) -> None:
    """A loaded scheduler's config holds every default; which they are stands beside them."""
    del scheduler_config["clip_sample"]
    kind: Any = diffusers.DDIMScheduler
    config = dict(kind.from_config(scheduler_config).config) if loaded else scheduler_config
    with pytest.raises(UnsupportedSchedule) as caught:
        schedule_table(config, "ddim", 4)
    assert "does not say otherwise, so diffusers takes clip_sample=true" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DdimOptions(eta=1.5), "ddim eta must lie in [0, 1], found 1.5"),
        (lambda: DdpmOptions(variance="learned"), "ddpm variance must be one of fixed_small"),
        (lambda: LangevinOptions(variance="no"), "langevin variance must be one of fixed_small"),
        (lambda: LangevinOptions(corrector_steps=-1), "corrector_steps must not be negative"),
        (lambda: LangevinOptions(step_size=4.0), "step_size must lie between 0 and 4, found 4"),
        (lambda: LcmOptions(original_steps=0), "original_steps must be at least 1, found 0"),
    ],
)
def test_options_are_checked(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UnsupportedSchedule) as caught:
        make()
    assert message in str(caught.value)


def test_epsilon_away_from_pure_noise_is_fine(scheduler_config: dict[str, Any]) -> None:
    """With leading timesteps the schedule never visits the level that holds no signal."""
    config = {**scheduler_config, "prediction_type": "epsilon", "timestep_spacing": "leading"}
    assert len(schedule_table(config, "ddim", 4).rows) == 4


def test_defaults_of_the_config_stay_the_checkpoints(scheduler_config: dict[str, Any]) -> None:
    """LCM's own default betas are others: the same config must mean the same noise levels."""
    config = {"clip_sample": False, "prediction_type": "v_prediction"}
    base = diffusers.DDIMScheduler.from_config(config)
    row = schedule_table(config, "lcm", 1).rows[0]
    alpha = float(base.alphas_cumprod[int(row.timestep)]) ** 0.5
    c_skip = 0.25 / ((row.timestep * 10.0) ** 2 + 0.25)
    assert row.sample == pytest.approx(alpha, abs=2 * c_skip)
