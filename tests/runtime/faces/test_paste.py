"""Pasting back: nothing outside the mask changes, nothing inside moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.faces.align import (
    invert,
    resample,
    similarity,
    spread_out,
    transform_points,
    warp,
)
from edgeswap_runtime.faces.paste import mask_weights, paste

SIDE = 96
MASK = Mask(center_px=(47.5, 50.0), radii_px=(36.0, 42.0), exponent=2.5, feather_px=8.0)
LANDMARKS = np.array([[31.7, 38.5], [64.2, 38.3], [48.0, 57.0], [34.7, 76.0], [61.6, 75.9]])


def _smooth_picture(seed: int, height: int, width: int, wavelength_px: float) -> np.ndarray:
    """Sums of sines, none shorter than the wavelength: what any zoom in use can carry."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    total = np.zeros((height, width, 3))
    for _ in range(6):
        turn, phase = generator.uniform(0, 2 * np.pi, 2)
        k = 2 * np.pi / (wavelength_px * generator.uniform(1, 2))
        wave = np.sin(k * (np.cos(turn) * x + np.sin(turn) * y) + phase)
        total += wave[..., None] * generator.uniform(5, 20, 3)
    return np.clip(total + 128, 0, 255).astype(np.uint8)


def _place(size: float, turn: float, x: float, y: float) -> np.ndarray:
    """Picture-to-crop matrix of a face whose crop spans `size` picture pixels around (x, y)."""
    c, s = np.cos(turn) * size / SIDE, np.sin(turn) * size / SIDE
    centered = LANDMARKS - (SIDE - 1) / 2
    return similarity(centered @ np.array([[c, s], [-s, c]]) + [x, y], LANDMARKS)


def _weights(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    points = transform_points(matrix, np.stack([x.ravel(), y.ravel()], 1))
    weights = mask_weights(MASK, points[:, 0], points[:, 1], SIDE)
    return weights.reshape(picture.shape[:2])


@given(
    size=st.floats(30, 400),
    turn=st.floats(-np.pi, np.pi),
    x=st.floats(-20, 320),
    y=st.floats(-20, 260),
    seed=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_round_trip(size: float, turn: float, x: float, y: float, seed: int) -> None:
    """Cutting a face out and pasting it back unchanged gives the picture again.

    At every place, size and angle, also half outside: bytes outside the mask are equal, inside they
    differ by what interpolation of a smooth picture loses, and no shift of even a tenth of a crop
    pixel is left.
    """
    picture = _smooth_picture(seed, 240, 300, wavelength_px=max(24.0, size / 4))
    matrix = _place(size, turn, x, y)
    pasted = picture.copy()
    paste(pasted, warp(picture, matrix, SIDE).astype(np.float32), matrix, MASK)
    weights = _weights(picture, matrix)
    np.testing.assert_array_equal(pasted[weights == 0], picture[weights == 0])
    inside = weights == 1
    if inside.sum() < 200:
        return
    difference = pasted[inside].astype(float) - picture[inside]
    assert np.abs(difference).mean() < 1.5
    gradient_y, gradient_x = np.gradient(picture.astype(float), axis=(0, 1))
    slopes = np.stack([gradient_x[inside].ravel(), gradient_y[inside].ravel()], 1)
    shift, *_ = np.linalg.lstsq(slopes, difference.ravel(), rcond=None)
    assert np.abs(shift).max() < 0.1 * max(1.0, size / SIDE)


def test_a_color_fills_the_mask_and_fades_at_its_rim() -> None:
    picture = np.full((200, 200, 3), 50, np.uint8)
    matrix = _place(120, 0.2, 100, 100)
    paste(picture, np.full((SIDE, SIDE, 3), 250, np.float32), matrix, MASK)
    weights = _weights(picture, matrix)
    expected = np.rint(50 + 200 * weights.astype(float))
    np.testing.assert_allclose(picture[..., 0], expected, atol=1)
    assert (picture[weights == 1] == 250).all()


def test_crops_are_clipped_not_wrapped() -> None:
    picture = np.full((100, 100, 3), 128, np.uint8)
    paste(picture, np.full((SIDE, SIDE, 3), 900, np.float32), _place(60, 0, 50, 50), MASK)
    assert picture.max() == 255 and picture.min() == 128


def test_a_face_outside_changes_nothing() -> None:
    picture = np.full((60, 60, 3), 10, np.uint8)
    paste(picture, np.full((SIDE, SIDE, 3), 200, np.float32), _place(50, 0, 500, 500), MASK)
    assert (picture == 10).all()


def test_mask_weights_are_a_soft_superellipse() -> None:
    def at(x: float, y: float, mask: Mask = MASK) -> float:
        return float(mask_weights(mask, np.array([x]), np.array([y]), SIDE)[0])

    assert at(47.5, 50) == 1
    assert at(47.5 + 36, 50) == 0
    assert at(47.5 + 36 - 4, 50) == pytest.approx(0.5)  # half the feather
    assert at(0, 0) == 0
    hard = Mask(center_px=(47.5, 50), radii_px=(36, 42), exponent=2.5, feather_px=0)
    assert {at(47.5 + 35.9, 50, hard), at(47.5 + 36.1, 50, hard)} == {0.0, 1.0}


def test_a_mask_wider_than_the_crop_still_ends_at_its_border() -> None:
    wide = Mask(center_px=(47.5, 47.5), radii_px=(90, 90), exponent=2, feather_px=8)
    points = np.array([0.0, 4.0, 47.5, 95.0])
    found = mask_weights(wide, points, np.full(4, 47.5), SIDE)
    assert found[0] == 0 and found[3] == 0 and found[2] == 1
    assert found[1] == pytest.approx(0.5)


def test_pasting_costs_the_face_not_the_picture() -> None:
    """A view that cannot be written outside the face's box proves that nothing else is touched."""
    picture = np.zeros((300, 300, 3), np.uint8)
    matrix = _place(60, 0, 150, 150)
    box = picture[100:200, 100:200]
    before = np.asarray(Image.fromarray(picture)).copy()
    paste(picture, np.full((SIDE, SIDE, 3), 200, np.float32), matrix, MASK)
    assert box.any()
    before[100:200, 100:200] = box
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("turn", [0.0, 0.2, 2.0])
def test_a_face_many_times_the_crop_lies_where_it_was_and_keeps_its_rim(turn: float) -> None:
    picture = _smooth_picture(3, 1000, 1100, wavelength_px=250.0)
    matrix = _place(800, turn, 540.3, 489.6)
    crop = warp(picture, matrix, SIDE).astype(np.float32)
    pasted = picture.copy()
    paste(pasted, crop, matrix, MASK)
    weights = _weights(picture, matrix)
    np.testing.assert_array_equal(pasted[weights == 0], picture[weights == 0])
    assert np.abs(pasted.astype(int) - picture)[weights == 1].mean() < 1
    # The least of the weights around a point counts: a third of a crop pixel is lost at the rim.
    white = np.zeros_like(picture)
    paste(white, np.full_like(crop, 255), matrix, MASK)
    rim = white[..., 0] / 255 - weights
    assert rim.max() <= 1 / 255 and rim.min() > -0.15 and np.abs(rim).mean() < 0.01


def test_enlarging_by_rows_is_enlarging_by_samples() -> None:
    crop = _smooth_picture(5, SIDE, SIDE, wavelength_px=12.0).astype(np.float32)
    to_crop = invert(_place(SIDE, 0.3, 40.0, 52.0) * 1.0)
    to_crop = np.column_stack([to_crop[:, :2] / 7.3, to_crop[:, 2] + 20])
    quick = np.asarray(spread_out(crop, to_crop, (300, 280)), dtype=np.float32)
    assert np.abs(quick - resample(crop, to_crop, (300, 280)).clip(0, 255)).max() < 3
