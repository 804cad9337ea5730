"""Light outside the trained range: brought into it and back; normal light is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgeswap_runtime.faces.light import (
    TYPICAL,
    apply_gain,
    is_gray,
    light_gain,
    to_gray,
)


def _crop(*color: float) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0.8, 1.2, (96, 96, 1))
    return np.clip(noise * np.array(color), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("skin", [(200, 160, 130), (150, 110, 80), (95, 65, 50), (120, 120, 120)])
def test_normal_light_is_left_alone(skin: tuple[int, int, int]) -> None:
    """Fair, brown and dark skin, and a gray picture."""
    assert light_gain(_crop(*skin)) is None


@pytest.mark.parametrize("color", [(40, 32, 25), (75, 150, 60), (70, 80, 150)])
def test_odd_light_is_brought_to_the_trained_mean_and_back(color: tuple[int, int, int]) -> None:
    """Dark, green and blue."""
    crop = _crop(*color)
    gain = light_gain(crop)
    assert gain is not None
    lit = apply_gain(crop, gain)
    np.testing.assert_allclose(lit[20:76, 20:76].mean((0, 1)), TYPICAL, rtol=0.06)
    assert light_gain(lit) is None
    below = (crop * gain < 255).all(-1)
    assert np.abs(lit[below] / gain - crop[below]).max() <= 1


def test_black_has_a_bounded_gain() -> None:
    gain = light_gain(np.zeros((96, 96, 3), np.uint8))
    assert gain is not None and gain.max() == 6


def test_gray_is_told_and_made() -> None:
    gray = np.repeat(_crop(120, 120, 120)[..., :1], 3, axis=2)
    assert is_gray(gray) and not is_gray(_crop(120, 110, 100))
    made = to_gray(_crop(200, 100, 50).astype(np.float32))
    assert (made == made[..., :1]).all()
    assert made.mean() == pytest.approx(200 * 0.299 + 100 * 0.587 + 50 * 0.114, rel=0.05)
