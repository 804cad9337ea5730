"""The drawn landmarks: discs in five colors, limbs from the nose in darker ones."""

from __future__ import annotations

import numpy as np

from edgeswap_runtime.faces.keypoints import COLORS, NOSE, draw_keypoints, keypoints_tensor

POINTS = np.array([[300.0, 400.0], [700.0, 390.0], [500.0, 560.0], [350.0, 740.0], [660.0, 730.0]])
SIDE = 1024


def test_discs_and_limbs() -> None:
    drawn = draw_keypoints(POINTS, SIDE)
    assert drawn.shape == (SIDE, SIDE, 3) and drawn.dtype == np.uint8
    for point, color in zip(POINTS.astype(int), COLORS, strict=True):
        x, y = point
        np.testing.assert_array_equal(drawn[y, x], color)
        np.testing.assert_array_equal(drawn[y - 10, x], color)  # the disc's radius is 10
        assert (drawn[y - 12, x] != color).any()
    for index in (0, 1, 3, 4):
        x, y = ((POINTS[index] + POINTS[NOSE]) / 2).round().astype(int)
        np.testing.assert_array_equal(drawn[y, x], (COLORS[index] * 0.6).astype(np.uint8))
    assert (drawn[:300] == 0).all() and (drawn.any(2)).mean() < 0.02


def test_a_limb_is_eight_pixels_thick_in_its_middle() -> None:
    points = np.array([[100.0, 512.0], [900.0, 512.0], [500.0, 512.0], [0, 0], [1000, 1000]])
    column = draw_keypoints(points, SIDE)[:, 300].any(1)
    assert 8 <= column[480:540].sum() <= 10


def test_it_follows_the_side_and_is_cut_off_at_the_border() -> None:
    half = draw_keypoints(POINTS / 2, SIDE // 2)
    share, whole = half.any(2).mean(), draw_keypoints(POINTS, SIDE).any(2).mean()
    assert abs(share - whole) < 0.1 * whole
    outside = draw_keypoints(POINTS - 2000, 64)
    assert not outside.any()
    small = draw_keypoints(POINTS / 32, 32)  # every landmark is seen, however small the crop
    assert all((small == color).all(2).any() for color in COLORS)


def test_one_point_for_all_makes_no_numbers_that_are_none() -> None:
    drawn = draw_keypoints(np.full((5, 2), 20.0), 64)
    assert (drawn[20, 20] == COLORS[4]).all()


def test_as_a_tensor() -> None:
    tensor = keypoints_tensor(POINTS / 16, 64)
    assert tensor.shape == (1, 3, 64, 64) and tensor.dtype == np.float32
    drawn = draw_keypoints(POINTS / 16, 64)
    np.testing.assert_allclose(tensor[0].transpose(1, 2, 0) * 255, drawn, atol=1e-4)
