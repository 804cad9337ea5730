"""Measures of a swap, on arrays whose score is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from edgeswap_compress.evaluate import metrics
from edgeswap_compress.evaluate._errors import EmptyMask

EVERYWHERE = np.ones((1, 12, 12))


def flat(level: int, size: int = 12) -> NDArray[np.uint8]:
    return np.full((1, size, size, 3), level, np.uint8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_psnr_of_a_constant_error() -> None:
    found = metrics.psnr(flat(110), flat(100), EVERYWHERE)
    assert found == pytest.approx([20 * np.log10(255 / 10)])


def test_psnr_is_not_fooled_by_unsigned_wraparound() -> None:
    assert metrics.psnr(flat(0), flat(255), EVERYWHERE) == pytest.approx([0.0])


def test_psnr_counts_only_weighted_pixels() -> None:
    picture = flat(100)
    picture[0, :6] = 110
    upper = np.zeros((1, 12, 12))
    upper[0, :6] = 1
    assert metrics.psnr(picture, flat(100), 1 - upper)[0] == metrics.PSNR_LIMIT_DB
    both = metrics.psnr(picture, flat(100), upper + 0.5 * (1 - upper))
    # 6 rows of weight 1 with an error of 100, 6 rows of weight 0.5 with none
    assert both == pytest.approx([10 * np.log10(255**2 / (100 * 6 / 9))])


def test_identical_pictures_score_best(rng: np.random.Generator) -> None:
    pictures = rng.integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    weights = np.ones((3, 12, 12))
    assert metrics.psnr(pictures, pictures, weights).tolist() == [60.0] * 3
    assert metrics.ssim(pictures, pictures, weights) == pytest.approx([1.0] * 3)


def test_psnr_of_some_leaves_out_pictures_without_weights() -> None:
    weights = np.stack([EVERYWHERE[0], 0 * EVERYWHERE[0]])
    pictures = np.concatenate([flat(110), flat(110)])
    found = metrics.psnr_of_some(pictures, np.concatenate([flat(100), flat(100)]), weights)
    assert found[0] == pytest.approx(20 * np.log10(255 / 10))
    assert np.isnan(found[1])
    assert np.isnan(metrics.psnr_of_some(flat(1), flat(1), 0 * EVERYWHERE)).all()


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ssim])
def test_an_empty_mask_is_an_error(measure: object) -> None:
    weights = np.ones((2, 12, 12))
    weights[1] = 0
    pictures = np.zeros((2, 12, 12, 3), np.uint8)
    with pytest.raises(EmptyMask, match="mask 1 of the batch covers no pixel: expected some"):
        measure(pictures, pictures, weights)  # type: ignore[operator]


def test_ssim_equals_skimage(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (1, 40, 32, 3), dtype=np.uint8)
    other = np.clip(picture + rng.normal(0, 20, picture.shape), 0, 255).astype(np.uint8)
    weights = rng.random((1, 40, 32))
    luma = np.array([0.299, 0.587, 0.114])
    _, mapped = structural_similarity(
        picture[0] @ luma,
        other[0] @ luma,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    expected = (mapped * weights[0]).sum() / weights.sum()
    assert metrics.ssim(picture, other, weights) == pytest.approx([expected], abs=1e-9)


def test_fine_energy_of_a_flat_picture_is_zero() -> None:
    assert metrics.fine_energy(flat(77), EVERYWHERE) == pytest.approx([0.0], abs=1e-18)


def test_fine_energy_of_one_bright_pixel() -> None:
    picture = np.zeros((1, 12, 12, 3), np.uint8)
    picture[0, 6, 6] = 100
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    left = -100 * kernel
    left[2, 2] += 100
    expected = (left**2).sum() / 144
    assert metrics.fine_energy(picture, EVERYWHERE) == pytest.approx([expected])


def test_blur_lowers_fine_energy_and_noise_raises_it(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 200, (1, 12, 12, 3), dtype=np.uint8)
    soft = ((picture.astype(float) + np.roll(picture, 1, 2)) / 2).astype(np.uint8)
    noisy = (picture + rng.integers(0, 55, picture.shape)).astype(np.uint8)
    energies = [metrics.fine_energy(p, EVERYWHERE)[0] for p in (soft, picture, noisy)]
    assert energies == sorted(energies)
    assert energies[0] < 0.7 * energies[1]


def test_distances(rng: np.random.Generator) -> None:
    one, other = rng.normal(size=(3, 8)), rng.normal(size=(5, 8))
    found = metrics.distances(one, other)
    assert found.shape == (3, 5)
    assert found[2, 4] == pytest.approx(np.linalg.norm(one[2] - other[4]))
    assert (np.diag(metrics.distances(one, one)) == 0).all()
    assert metrics.distances(one[:0], other).shape == (0, 5)


def test_cosines() -> None:
    one = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    other = np.array([[3.0, 0.0], [0.0, 5.0], [-1.0, -1.0]])
    assert metrics.cosines(one, other) == pytest.approx([1.0, 0.0, -1.0])


def test_ranks_count_ties_against_the_wanted() -> None:
    to_gallery = np.array([[0.1, 0.5, 0.9], [0.5, 0.1, 0.9], [0.5, 0.5, 0.5], [0.9, 0.4, 0.2]])
    wanted = np.zeros(4, np.int64)
    assert metrics.ranks(to_gallery, wanted).tolist() == [0, 1, 2, 2]


def test_landmark_error_is_in_eye_distances() -> None:
    references = np.zeros((2, 3, 2))
    landmarks = np.array([[[3.0, 4.0]] * 3, [[0.0, 0.0], [0.0, 6.0], [0.0, 0.0]]])
    found = metrics.landmark_error(landmarks, references, np.array([10.0, 20.0]))
    assert found == pytest.approx([0.5, 0.1])
    assert metrics.landmark_error(landmarks, landmarks, np.ones(2)).tolist() == [0.0, 0.0]


def test_pixel_spread(rng: np.random.Generator) -> None:
    weights = np.zeros((1, 12, 12))
    weights[0, :6] = 1
    pictures = np.stack([flat(100), flat(110)])
    pictures[:, :, 6:] = rng.integers(0, 256, (2, 1, 6, 12, 3))
    # two values 10 apart deviate by 10 / sqrt(2)
    assert metrics.pixel_spread(pictures, weights) == pytest.approx([50**0.5])
    many = rng.normal(128, 10, (200, 1, 12, 12, 3)).astype(np.uint8)
    assert metrics.pixel_spread(many, EVERYWHERE) == pytest.approx([10], rel=0.05)


def test_embedding_spread(rng: np.random.Generator) -> None:
    assert metrics.embedding_spread(np.array([[[0.0, 0.0]], [[3.0, 4.0]]])) == pytest.approx(
        [(25 / 2) ** 0.5]
    )
    assert metrics.embedding_spread(np.ones((4, 2, 8))).tolist() == [0.0, 0.0]
    many = rng.normal(0, 2, (500, 3, 9))
    assert metrics.embedding_spread(many) == pytest.approx([6] * 3, rel=0.05)
