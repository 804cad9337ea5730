"""Similarity transforms and warping, to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeswap_runtime.errors import DegenerateLandmarks, InvalidRequest
from edgeswap_runtime.faces.align import (
    TEMPLATE_96,
    invert,
    resample,
    similarity,
    to_uint8,
    transform_points,
    warp,
)
from edgeswap_runtime.faces.templates import ARCFACE_112

TURN = st.floats(-np.pi, np.pi)
SCALE = st.floats(0.05, 20)
SHIFT = st.floats(-500, 500)


def _matrix(turn: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def _ramp(height: int, width: int) -> np.ndarray:
    """A float picture whose values are its own coordinates: sampling can be checked exactly."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, x + y], -1).astype(np.float32)


def test_template_is_the_tight_crop_of_arcface() -> None:
    assert TEMPLATE_96.shape == (5, 2)
    np.testing.assert_allclose(TEMPLATE_96[0], (np.array(ARCFACE_112[0]) - [4, 10]) * 96 / 104)
    assert (TEMPLATE_96 > 0).all() and (TEMPLATE_96 < 96).all()
    assert TEMPLATE_96[1, 0] - TEMPLATE_96[0, 0] > 30  # the first point is the picture's left


@given(turn=TURN, scale=SCALE, x=SHIFT, y=SHIFT)
@settings(deadline=None)
def test_similarity_recovers_what_was_applied(
    turn: float, scale: float, x: float, y: float
) -> None:
    matrix = _matrix(turn, scale, (x, y))
    points = transform_points(invert(matrix), TEMPLATE_96)
    np.testing.assert_allclose(similarity(points, TEMPLATE_96), matrix, rtol=1e-6, atol=1e-4)


def test_similarity_is_least_squares_and_never_a_reflection() -> None:
    generator = np.random.default_rng(0)
    points = TEMPLATE_96 + generator.normal(0, 2, (5, 2))
    best = similarity(points, TEMPLATE_96)
    error = ((transform_points(best, points) - TEMPLATE_96) ** 2).sum()
    for _ in range(200):
        other = best + generator.normal(0, 1e-3, (2, 3)) * [[1, 1, 30]]
        turned = _matrix(np.arctan2(other[1, 0], other[0, 0]), np.hypot(*other[:, 0]), other[:, 2])
        assert ((transform_points(turned, points) - TEMPLATE_96) ** 2).sum() >= error
    mirrored = TEMPLATE_96 * [-1, 1]
    assert np.linalg.det(similarity(mirrored, TEMPLATE_96)[:, :2]) > 0


def test_degenerate_landmarks_are_refused() -> None:
    with pytest.raises(DegenerateLandmarks, match="define no similarity transform"):
        similarity(np.ones((5, 2)), TEMPLATE_96)
    with pytest.raises(DegenerateLandmarks, match="expected finite"):
        similarity(np.full((5, 2), np.nan), TEMPLATE_96)
    with pytest.raises(InvalidRequest, match=r"shape \(4, 2\) cannot be aligned to \(5, 2\)"):
        similarity(TEMPLATE_96[:4], TEMPLATE_96)


@given(turn=TURN, scale=st.floats(0.1, 5))
@settings(max_examples=40, deadline=None)
def test_resample_samples_pixel_centers(turn: float, scale: float) -> None:
    """On a linear ramp every sound filter gives the coordinate itself, whatever the zoom."""
    size = (12, 9)
    to_image = _matrix(turn, scale, (0, 0))
    center = transform_points(to_image, [[5.5, 4]])[0]
    to_image[:, 2] = [150, 140] - center
    y, x = np.mgrid[: size[1], : size[0]]
    expected = transform_points(to_image, np.stack([x.ravel(), y.ravel()], 1))
    found = resample(_ramp(280, 300), to_image, size)
    assert found.shape == (9, 12, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found[..., :2].reshape(-1, 2), expected, atol=2e-2)


def test_warp_of_the_identity_is_exact() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crop = warp(picture, np.array([[1.0, 0, -7], [0, 1, -3]]), 24)
    np.testing.assert_array_equal(crop, picture[3:27, 7:31])


def test_shrinking_averages_instead_of_aliasing() -> None:
    """A fine checkerboard has no place in a small crop: it must become gray."""
    y, x = np.mgrid[:600, :600]
    board = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, 2)
    for factor in (2.0, 2.7, 5.0, 9.3):
        crop = warp(board, _matrix(0.1, 1 / factor, (0, 0)), 48)
        assert abs(crop[8:40, 8:40].mean() - 127.5) < 2, factor
        assert crop[8:40, 8:40].std() < 12, factor


def test_warp_keeps_the_mean_brightness() -> None:
    """Pillow's 8-bit transforms round down: half a gray level lost at every warp."""
    picture = np.random.default_rng(1).integers(100, 110, (200, 200, 3), dtype=np.uint8)
    for factor in (0.4, 1.0, 1.5, 4.2):
        crop = warp(picture, _matrix(0.3, 1 / factor, (3.3, 2.2)), 16)
        inside = picture[10:40, 10:40].mean()
        assert abs(crop.mean() - inside) < 0.45, factor


def test_beyond_the_border_the_edge_is_repeated() -> None:
    picture = np.full((20, 20, 3), 90, np.uint8)
    picture[:, -1] = 200
    crop = warp(picture, np.array([[1.0, 0, -10], [0, 1, 5]]), 30)
    assert (crop[:, :9] == 90).all()
    assert (crop[:, 10:] == 200).all()
    far = warp(picture, np.array([[1.0, 0, -500], [0, 1, 0]]), 8)
    assert (far == 200).all()


def test_to_uint8_rounds_and_clips() -> None:
    values = np.array([-3.0, 0.4, 0.6, 254.6, 300.0], np.float32)
    assert to_uint8(values).tolist() == [0, 0, 1, 255, 255]
