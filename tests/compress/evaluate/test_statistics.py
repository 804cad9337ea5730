"""Figures of all pairs and their intervals; Fréchet distances of known normal distributions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeswap_compress.evaluate import _statistics
from edgeswap_compress.evaluate._statistics import Gaussians, frechet_distances, frechet_score


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_score_is_a_ratio_of_sums(rng: np.random.Generator) -> None:
    counts = _statistics.resample_counts(2, 500, rng)
    found = _statistics.score(np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.array([0, 1]), counts)
    assert found == _statistics.Score(value=2.0, lo=1.0, hi=3.0)
    weighted = _statistics.score(
        np.array([1.0, 3.0]), np.array([1.0, 9.0]), np.array([0, 1]), counts
    )
    assert weighted.value == pytest.approx(0.4)


def test_pairs_of_weight_zero_are_left_out(rng: np.random.Generator) -> None:
    counts = _statistics.resample_counts(4, 500, rng)
    values, weights = np.array([2.0, 4.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0])
    found = _statistics.score(values, weights, np.arange(4), counts)
    assert found == _statistics.Score(value=3.0, lo=2.0, hi=4.0)


def test_score_interval_of_independent_pairs(rng: np.random.Generator) -> None:
    values = rng.normal(5, 2, 400)
    counts = _statistics.resample_counts(400, 2000, rng)
    found = _statistics.score(values, np.ones(400), np.arange(400), counts)
    assert found.lo is not None and found.hi is not None
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.hi - found.lo) / 2 == pytest.approx(half, rel=0.08)


def test_copies_of_a_pair_are_no_evidence(rng: np.random.Generator) -> None:
    values = rng.normal(size=50)
    counts = _statistics.resample_counts(50, 2000, rng)
    once = _statistics.score(values, np.ones(50), np.arange(50), counts)
    copied = np.repeat(values, 12)
    many = _statistics.score(copied, np.ones(600), np.repeat(np.arange(50), 12), counts)
    assert (many.lo, many.hi) == pytest.approx((once.lo, once.hi))


def test_bootstrap_repeats_with_its_seed() -> None:
    draws = [_statistics.resample_counts(9, 100, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert draws[0] is not None and draws[1] is not None and draws[2] is not None
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()
    assert (draws[0].sum(1) == 9).all()


def test_one_cluster_has_no_interval(rng: np.random.Generator) -> None:
    assert _statistics.resample_counts(1, 100, rng) is None
    found = _statistics.score(np.array([1.0, 2.0]), np.ones(2), np.zeros(2, np.int64), None)
    assert found == _statistics.Score(value=1.5, lo=None, hi=None)


def gaussian(mean: list[float], covariance: NDArray[np.float64] | list[list[float]]) -> Gaussians:
    return Gaussians(mean=np.array(mean), covariance=np.array(covariance))


def test_frechet_distance_of_independent_dimensions() -> None:
    one = gaussian([0.0, 0.0, 1.0], np.diag([1.0, 4.0, 9.0]))
    other = gaussian([3.0, 4.0, 1.0], np.diag([1.0, 9.0, 0.0]))
    # |difference of means|² and the squared differences of deviations
    assert frechet_distances(one, other) == pytest.approx(25 + 0 + 1 + 9)
    assert frechet_distances(other, one) == pytest.approx(35)
    assert frechet_distances(one, one) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_of_crossed_covariances() -> None:
    a, b = np.array([[2.0, 1.5], [1.5, 3.0]]), np.array([[5.0, -2.0], [-2.0, 1.0]])
    # of 2 x 2 matrices: tr(M^½) = sqrt(tr M + 2 sqrt(det M)), M = AB
    product = a @ b
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = 1 + np.trace(a) + np.trace(b) - 2 * root
    found = frechet_distances(gaussian([0.0, 1.0], a), gaussian([0.0, 0.0], b))
    assert found == pytest.approx(expected)


def test_normal_distributions_are_fitted_to_what_is_counted(rng: np.random.Generator) -> None:
    features, clusters = rng.normal(size=(10, 3)), np.array([0, 0, 1, 1, 1, 2, 2, 2, 2, 2])
    counts = np.array([[1, 1, 1], [2, 0, 1]])
    fitted = Gaussians.fitted(features, clusters, counts)
    repeated = np.concatenate([features[:2], features[:2], features[5:]])
    for i, rows in enumerate((features, repeated)):
        assert fitted.mean[i] == pytest.approx(rows.mean(0))
        assert fitted.covariance[i] == pytest.approx(np.cov(rows.T), abs=1e-12)


def test_frechet_score_of_samples(rng: np.random.Generator) -> None:
    references = rng.normal(size=(4000, 4))
    features = rng.normal(0.5, 2.0, size=(4000, 4))
    clusters = np.arange(4000) // 20
    counts = _statistics.resample_counts(200, 500, rng)
    found = frechet_score(features, references, clusters, counts)
    assert found.value == pytest.approx(4 * (0.25 + 1), rel=0.05)
    assert found.lo is not None and found.hi is not None
    assert found.lo < 5 < found.hi
    assert 0.05 < found.hi - found.lo < 1


def test_frechet_score_of_equal_features_is_zero(rng: np.random.Generator) -> None:
    features, clusters = rng.normal(size=(60, 8)), np.arange(60) // 4
    counts = _statistics.resample_counts(15, 200, rng)
    found = frechet_score(features, features, clusters, counts)
    assert (found.value, found.lo, found.hi) == pytest.approx((0, 0, 0), abs=1e-9)


def test_frechet_score_needs_twice_as_many_pairs_as_dimensions(rng: np.random.Generator) -> None:
    features, clusters = rng.normal(size=(15, 8)), np.zeros(15, np.int64)
    assert frechet_score(features, features, clusters, None) == _statistics.Score(value=None)
    more, one = rng.normal(size=(16, 8)), np.zeros(16, np.int64)
    alone = frechet_score(more, more + 1, one, None)
    assert alone.value == pytest.approx(8) and alone.lo is None
