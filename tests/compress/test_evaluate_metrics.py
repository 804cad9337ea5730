"""Measures of a swap, on arrays whose score is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from edgeswap_compress.evaluate import _metrics
from edgeswap_compress.evaluate._errors import EmptyMask

EVERYWHERE = np.ones((1, 12, 12))


def flat(level: int, size: int = 12) -> NDArray[np.uint8]:
    return np.full((1, size, size, 3), level, np.uint8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_psnr_of_a_constant_error() -> None:
    found = _metrics.psnr(flat(110), flat(100), EVERYWHERE)
    assert found == pytest.approx([20 * np.log10(255 / 10)])


def test_psnr_is_not_fooled_by_unsigned_wraparound() -> None:
    assert _metrics.psnr(flat(0), flat(255), EVERYWHERE) == pytest.approx([0.0])


def test_psnr_counts_only_weighted_pixels() -> None:
    picture = flat(100)
    picture[0, :6] = 110
    upper = np.zeros((1, 12, 12))
    upper[0, :6] = 1
    assert _metrics.psnr(picture, flat(100), 1 - upper)[0] == _metrics.PSNR_LIMIT_DB
    both = _metrics.psnr(picture, flat(100), upper + 0.5 * (1 - upper))
    # 6 rows of weight 1 with an error of 100, 6 rows of weight 0.5 with none
    assert both == pytest.approx([10 * np.log10(255**2 / (100 * 6 / 9))])


def test_identical_pictures_score_best(rng: np.random.Generator) -> None:
    pictures = rng.integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    weights = np.ones((3, 12, 12))
    assert _metrics.psnr(pictures, pictures, weights).tolist() == [60.0] * 3
    assert _metrics.ssim(pictures, pictures, weights) == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("measure", [_metrics.psnr, _metrics.ssim])
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
    assert _metrics.ssim(picture, other, weights) == pytest.approx([expected], abs=1e-9)


def test_fine_energy_of_a_flat_picture_is_zero() -> None:
    assert _metrics.fine_energy(flat(77), EVERYWHERE) == pytest.approx([0.0], abs=1e-18)


def test_fine_energy_of_one_bright_pixel() -> None:
    picture = np.zeros((1, 12, 12, 3), np.uint8)
    picture[0, 6, 6] = 100
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    left = -100 * kernel
    left[2, 2] += 100
    expected = (left**2).sum() / 144
    assert _metrics.fine_energy(picture, EVERYWHERE) == pytest.approx([expected])


def test_blur_lowers_fine_energy_and_noise_raises_it(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 200, (1, 12, 12, 3), dtype=np.uint8)
    soft = ((picture.astype(float) + np.roll(picture, 1, 2)) / 2).astype(np.uint8)
    noisy = (picture + rng.integers(0, 55, picture.shape)).astype(np.uint8)
    energies = [_metrics.fine_energy(p, EVERYWHERE)[0] for p in (soft, picture, noisy)]
    assert energies == sorted(energies)
    assert energies[0] < 0.7 * energies[1]


def test_distances(rng: np.random.Generator) -> None:
    one, other = rng.normal(size=(3, 8)), rng.normal(size=(5, 8))
    found = _metrics.distances(one, other)
    assert found.shape == (3, 5)
    assert found[2, 4] == pytest.approx(np.linalg.norm(one[2] - other[4]))
    assert (np.diag(_metrics.distances(one, one)) == 0).all()
    assert _metrics.distances(one[:0], other).shape == (0, 5)


def test_cosines() -> None:
    one = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    other = np.array([[3.0, 0.0], [0.0, 5.0], [-1.0, -1.0]])
    assert _metrics.cosines(one, other) == pytest.approx([1.0, 0.0, -1.0])


def test_ranks_count_ties_against_the_wanted() -> None:
    to_gallery = np.array([[0.1, 0.5, 0.9], [0.5, 0.1, 0.9], [0.5, 0.5, 0.5], [0.9, 0.4, 0.2]])
    wanted = np.zeros(4, np.int64)
    assert _metrics.ranks(to_gallery, wanted).tolist() == [0, 1, 2, 2]


def test_score_is_a_ratio_of_sums(rng: np.random.Generator) -> None:
    counts = _metrics.resample_counts(2, 500, rng)
    found = _metrics.score(np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.array([0, 1]), counts)
    assert found == _metrics.Score(value=2.0, lo=1.0, hi=3.0)
    weighted = _metrics.score(np.array([1.0, 3.0]), np.array([1.0, 9.0]), np.array([0, 1]), counts)
    assert weighted.value == pytest.approx(0.4)


def test_score_interval_of_independent_pairs(rng: np.random.Generator) -> None:
    values = rng.normal(5, 2, 400)
    counts = _metrics.resample_counts(400, 2000, rng)
    found = _metrics.score(values, np.ones(400), np.arange(400), counts)
    assert found.lo is not None and found.hi is not None
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.hi - found.lo) / 2 == pytest.approx(half, rel=0.08)


def test_copies_of_a_pair_are_no_evidence(rng: np.random.Generator) -> None:
    values = rng.normal(size=50)
    counts = _metrics.resample_counts(50, 2000, rng)
    once = _metrics.score(values, np.ones(50), np.arange(50), counts)
    copied = np.repeat(values, 12)
    many = _metrics.score(copied, np.ones(600), np.repeat(np.arange(50), 12), counts)
    assert (many.lo, many.hi) == pytest.approx((once.lo, once.hi))


def test_bootstrap_repeats_with_its_seed() -> None:
    draws = [_metrics.resample_counts(9, 100, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert draws[0] is not None and draws[1] is not None and draws[2] is not None
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()
    assert (draws[0].sum(1) == 9).all()


def test_one_cluster_has_no_interval(rng: np.random.Generator) -> None:
    assert _metrics.resample_counts(1, 100, rng) is None
    found = _metrics.score(np.array([1.0, 2.0]), np.ones(2), np.zeros(2, np.int64), None)
    assert found == _metrics.Score(value=1.5, lo=None, hi=None)
