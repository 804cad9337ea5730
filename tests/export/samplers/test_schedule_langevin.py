"""Langevin corrector rows leave a known density as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest

from edgeswap_export.samplers._langevin import LangevinOptions
from edgeswap_export.samplers.schedule import schedule_table


def gaussian_output(x: np.ndarray, alpha: float, sigma: float, mean: float, std: float) -> Any:
    """The exact v-prediction for data N(mean, std^2): v = alpha eps - sigma x0, both expected."""
    spread = alpha**2 * std**2 + sigma**2
    noise = sigma * (x - alpha * mean) / spread
    clean = (x - sigma * noise) / alpha
    return alpha * noise - sigma * clean


def langevin_moments(
    scheduler_config: dict[str, Any], steps: int, change: Callable[[Any], Any] | None = None
) -> tuple[float, float, float, float]:
    """Start many samples at the exact density of one noise level, run only corrector rows there.

    Returns their mean and variance, then those of the exact density.
    """
    mean, std, step_size = 1.5, 0.4, 0.02
    options = LangevinOptions(corrector_steps=1, step_size=step_size)
    row = schedule_table(scheduler_config, "langevin", 2, options).rows[1]
    row = row if change is None else change(row)
    levels = diffusers.DDIMScheduler.from_config(scheduler_config).alphas_cumprod.double()
    alpha = float(levels[int(row.timestep)].sqrt())
    sigma = float((1 - levels[int(row.timestep)]).sqrt())
    variance = alpha**2 * std**2 + sigma**2
    random = np.random.default_rng(3)
    x = alpha * mean + np.sqrt(variance) * random.standard_normal(SAMPLES)
    for _ in range(steps):
        output = gaussian_output(x, alpha, sigma, mean, std)
        x = row.sample * x + row.output * output + row.noise * random.standard_normal(SAMPLES)
    return float(x.mean()), float(x.var()), alpha * mean, variance


SAMPLES = 50_000
LANGEVIN_STEPS = 400  # the density forgets its start in about 2 / step_size = 100 of them


def is_preserved(moments: tuple[float, float, float, float]) -> bool:
    """Mean and variance within five standard errors of the exact ones.

    The standard errors of SAMPLES independent normal samples are sqrt(v / n) and v sqrt(2 / n). A
    Langevin step of finite size also widens the density, by a share of kappa / 4v <= step_size / 4
    of the variance (the fixed point of v -> (1 - kappa / 2v)^2 v + kappa): 0.5 % is allowed for it.
    """
    mean, variance, exact_mean, exact_variance = moments
    mean_error = np.sqrt(exact_variance / SAMPLES)
    variance_error = exact_variance * np.sqrt(2.0 / SAMPLES)
    return bool(
        abs(mean - exact_mean) <= 5 * mean_error
        and abs(variance - exact_variance) <= 5 * variance_error + 0.005 * exact_variance
    )


def test_langevin_steps_preserve_a_gaussian(scheduler_config: dict[str, Any]) -> None:
    assert is_preserved(langevin_moments(scheduler_config, LANGEVIN_STEPS))


WRONG_STEPS: dict[str, Callable[[Any], Any]] = {
    # x - kappa (...): away from the data
    "sign": lambda r: replace(r, sample=2.0 - r.sample, output=-r.output),
    # noise kappa instead of sqrt(kappa)
    "root": lambda r: replace(r, noise=r.noise**2),
    # the score taken whole instead of by half
    "half": lambda r: replace(r, sample=2.0 * r.sample - 1.0, output=2.0 * r.output),
    "no noise": lambda r: replace(r, noise=0.0),
    "no score": lambda r: replace(r, sample=1.0, output=0.0),
}


@pytest.mark.parametrize("fault", WRONG_STEPS)
def test_wrong_langevin_steps_do_not(fault: str, scheduler_config: dict[str, Any]) -> None:
    moments = langevin_moments(scheduler_config, LANGEVIN_STEPS, WRONG_STEPS[fault])
    assert not is_preserved(moments)


def test_correction_mends_coarse_steps(scheduler_config: dict[str, Any]) -> None:
    """Eight coarse ancestral steps reach the last level too narrow; correction widens them back.

    The error allowed is the step's own widening, at most step_size / 4 of the variance and so
    step_size / 8 = 1.25 % of the standard deviation, and five standard errors of 0.5 %.
    """
    levels = diffusers.DDIMScheduler.from_config(scheduler_config).alphas_cumprod.double()
    mean, std = -0.7, 0.2
    errors = []
    for corrector_steps in (0, 40):
        options = LangevinOptions(corrector_steps=corrector_steps, step_size=0.1)
        schedule = schedule_table(scheduler_config, "langevin", 8, options)
        assert len(schedule.rows) == 8 + 7 * corrector_steps
        random = np.random.default_rng(9)
        x = schedule.initial_noise_scale * random.standard_normal(20_000)
        for row in schedule.rows[:-1]:
            level = float(levels[int(row.timestep)])
            alpha, sigma = np.sqrt(max(level, 1e-12)), np.sqrt(1 - level)
            output = gaussian_output(x, alpha, sigma, mean, std)
            x = row.sample * x + row.output * output + row.noise * random.standard_normal(x.size)
        level = float(levels[int(schedule.rows[-1].timestep)])
        exact = np.sqrt(level * std**2 + 1 - level)
        errors.append(x.std() / exact - 1)
    assert errors[0] < -0.1
    assert abs(errors[1]) < 0.0125 + 0.025


def test_corrector_rows_use_the_level_arrived_at(scheduler_config: dict[str, Any]) -> None:
    options = LangevinOptions(corrector_steps=2)
    schedule = schedule_table(scheduler_config, "langevin", 3, options)
    times = [row.timestep for row in schedule.rows]
    assert times == [999, 666, 666, 666, 332, 332, 332]
    assert schedule.rows[-1].noise == 0.0
