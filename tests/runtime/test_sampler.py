"""The table sampler against the same arithmetic written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgeswap_runtime.bundle.manifest import Schedule, ScheduleRow
from edgeswap_runtime.sampler import noise_source, sample_latents

SHAPE = (1, 3, 4, 4)


def _schedule(*rows: ScheduleRow, scale: float = 1.0) -> Schedule:
    return Schedule(sampler="test", steps=len(rows), initial_noise_scale=scale, rows=rows)


def _model(x: np.ndarray, timestep: float) -> np.ndarray:
    return np.tanh(x) * np.float32(timestep / 1000)


def test_every_scalar_has_its_place() -> None:
    rows = (
        ScheduleRow(
            timestep=900.0,
            input_scale=0.5,
            sample=0.9,
            output=-0.3,
            noise=0.2,
            history=7.0,  # the history is 0 before the first row: no effect
            history_sample=0.4,
            history_output=0.6,
        ),
        ScheduleRow(timestep=300.0, sample=1.1, output=0.2, history=0.5),
        ScheduleRow(timestep=100.0, sample=1.0, output=0.1, noise=0.05, history=3.0),
    )
    found = sample_latents(_schedule(*rows, scale=2.0), _model, noise_source(7, SHAPE))

    e = np.random.default_rng(7).standard_normal((3, *SHAPE), dtype=np.float32)
    x0 = 2.0 * e[0]
    o0 = _model(0.5 * x0, 900)
    x1 = 0.9 * x0 - 0.3 * o0 + 0.2 * e[1]
    m1 = 0.4 * x0 + 0.6 * o0
    x2 = 1.1 * x1 + 0.2 * _model(x1, 300) + 0.5 * m1
    # Row 2 states no history terms, so nothing is left of it for row 3.
    x3 = x2 + 0.1 * _model(x2, 100) + 0.05 * e[2]
    np.testing.assert_allclose(found, x3, atol=1e-6)
    assert found.dtype == np.float32


def test_one_step_calls_the_model_once() -> None:
    calls = []

    def model(x: np.ndarray, timestep: float) -> np.ndarray:
        calls.append(timestep)
        return x * 3

    schedule = _schedule(ScheduleRow(timestep=999.0, sample=0.0, output=1.0))
    noise = np.ones(SHAPE, np.float32)
    found = sample_latents(schedule, model, noise_source(0, SHAPE, noise))
    assert calls == [999.0]
    np.testing.assert_array_equal(found, noise * 3)


def test_the_callers_noise_is_not_changed() -> None:
    noise = np.ones(SHAPE, np.float32)
    rows = [ScheduleRow(timestep=1.0, sample=1.0, output=1.0, noise=1.0)] * 2
    sample_latents(_schedule(*rows), _model, noise_source(0, SHAPE, noise))
    assert (noise == 1).all()


def test_noise_is_the_same_everywhere() -> None:
    """The very numbers, so that a change of numpy's generator would be noticed."""
    draw = noise_source(0, (4,))
    assert draw() == pytest.approx([1.117622, -1.387125, -0.426572, -0.803587], abs=1e-6)
    assert not np.array_equal(noise_source(0, (4,))(), draw())


def test_given_noise_comes_first() -> None:
    first = np.zeros(4, np.float32)
    draw = noise_source(0, (4,), first)
    assert draw() is first
    np.testing.assert_array_equal(draw(), noise_source(0, (4,))())
