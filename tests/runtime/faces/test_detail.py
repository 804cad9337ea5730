"""Fine detail of large faces: given back where the swap changed nothing, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from edgeswap_runtime.faces.align import warp
from edgeswap_runtime.faces.detail import FROM_SPREAD, FULL_SPREAD, detail_to_keep
from edgeswap_runtime.faces.paste import mask_weights, paste

MATRIX = np.array([[0.25, 0.0, 10.0], [0.0, 0.25, 10.0]])
"""The crop of 96 px shows 384 px of the picture."""


class Disc:
    center_px = (47.5, 47.5)
    radii_px = (40.0, 40.0)
    exponent = 2.0
    feather_px = 6.0


def _scene() -> tuple[np.ndarray, np.ndarray]:
    """A picture with grain, and its crop."""
    generator = np.random.default_rng(0)
    smooth = np.linspace(90, 160, 300)[None, :, None] * np.ones((300, 1, 3))
    picture = (smooth + generator.normal(0, 8, (300, 300, 1))).clip(0, 255).astype(np.uint8)
    return picture, warp(picture, MATRIX, 96)


def _pasted(picture: np.ndarray, crop: np.ndarray, swapped: np.ndarray) -> np.ndarray:
    detail = detail_to_keep(swapped, crop, MATRIX)
    assert detail is not None
    result = picture.copy()
    paste(result, swapped, MATRIX, Disc, detail=detail)  # type: ignore[arg-type]
    return result


def test_a_swap_that_changes_nothing_leaves_the_picture_as_it_was() -> None:
    picture, crop = _scene()
    result = _pasted(picture, crop, crop.astype(np.float32))
    plain = picture.copy()
    paste(plain, crop.astype(np.float32), MATRIX, Disc)  # type: ignore[arg-type]
    assert np.abs(result.astype(int) - picture).max() <= 1
    assert np.abs(plain.astype(int) - picture).mean() > 1, "plain enlarging loses the grain"


def test_a_change_of_light_keeps_the_grain() -> None:
    picture, crop = _scene()
    result = _pasted(picture, crop, crop.astype(np.float32) + 4)
    inside = (slice(100, 200), slice(100, 200))
    grain = (result.astype(float) - picture)[inside]
    assert abs(grain.mean() - 4) < 0.5 and grain.std() < 1


def test_where_much_changed_nothing_is_kept() -> None:
    _, crop = _scene()
    swapped = crop.astype(np.float32)
    swapped[30:60, 30:60] += 60
    detail = detail_to_keep(swapped, crop, MATRIX)
    assert detail is not None
    weights = detail.share
    assert weights[36:54, 36:54].max() < 0.01
    assert weights[:20, :20].min() > 0.99


@pytest.mark.parametrize(
    ("spread", "expected"), [(1.0, None), (FROM_SPREAD, None), (FULL_SPREAD, 1.0), (8.0, 1.0)]
)
def test_small_faces_lose_nothing(spread: float, expected: float | None) -> None:
    crop = np.full((96, 96, 3), 120, np.uint8)
    matrix = np.column_stack([np.eye(2) / spread, np.zeros(2)])
    detail = detail_to_keep(crop.astype(np.float32), crop, matrix)
    if expected is None:
        assert detail is None
    else:
        assert detail is not None and detail.share.min() == pytest.approx(expected)


def test_outside_the_mask_bytes_stay() -> None:
    picture, crop = _scene()
    result = _pasted(picture, crop, crop.astype(np.float32) + 20)
    y, x = np.mgrid[0:300, 0:300] * 0.25 + 10
    outside = mask_weights(Disc, x, y, 96) == 0  # type: ignore[arg-type]
    assert outside.any() and (result[outside] == picture[outside]).all()
