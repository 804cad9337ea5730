"""Statistics: figures with 95 % intervals from the measures of single pairs.

Pairs of one cluster share people and scenes and are no independent evidence, so the bootstrap draws
whole clusters, not pairs. Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993,
section 13.3 (percentile interval); Davison and Hinkley, "Bootstrap methods and their application",
1997, section 3.8 (resampling whole clusters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

FRECHET_RESAMPLES = 100
"""Of the bootstrap of a Fréchet distance: each costs an eigen-decomposition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A figure with its 95 % interval.

    Attributes:
        value: None where there are too few pairs to tell.
        lo, hi: None there too, and for a single cluster.
    """

    value: float | None
    lo: float | None = None
    hi: float | None = None


def resample_counts(
    clusters: int, resamples: int, rng: np.random.Generator
) -> NDArray[np.int64] | None:
    """Draw how often each cluster occurs in each bootstrap resample: (resamples, clusters).

    None where there is one cluster only: nothing can be said of the spread then.
    """
    if clusters < 2:
        return None
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)


def score(
    numerators: NDArray[np.floating],
    denominators: NDArray[np.floating],
    clusters: NDArray[np.int64],
    counts: NDArray[np.int64] | None,
) -> Score:
    """Compute a ratio of sums over pairs (a mean where denominators are 1) and its interval.

    Args:
        numerators: (n,) one a pair.
        denominators: (n,) one a pair, of positive sum; 0 leaves a pair out of a mean.
        clusters: (n,) each pair's cluster, 0..C-1, none empty.
        counts: from `resample_counts`.
    """
    value = float(numerators.sum() / denominators.sum())
    if counts is None:
        return Score(value=value)
    tops = counts @ np.bincount(clusters, numerators, minlength=counts.shape[1])
    bottoms = counts @ np.bincount(clusters, denominators, minlength=counts.shape[1])
    told = bottoms > 0  # a resample may hold only pairs that are left out
    lo, hi = np.percentile(tops[told] / bottoms[told], [2.5, 97.5])
    return Score(value=value, lo=float(lo), hi=float(hi))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaussians:
    """Normal distributions fitted to features.

    Attributes:
        mean: (..., D).
        covariance: (..., D, D), of the sample.
    """

    mean: Values
    covariance: Values

    @classmethod
    def fitted(
        cls,
        features: NDArray[np.floating],
        clusters: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> Gaussians:
        """Fit one distribution for each row of counts.

        Args:
            features: (n, D).
            clusters: (n,) each row's cluster, 0..C-1.
            counts: (B, C) how often each cluster is counted.
        """
        rows = np.asarray(features, np.float64)
        total, size = counts.shape[1], rows.shape[1]
        sums, products = np.zeros((total, size)), np.zeros((total, size, size))
        for cluster in range(total):
            inside = rows[clusters == cluster]
            sums[cluster], products[cluster] = inside.sum(0), inside.T @ inside
        n = (counts @ np.bincount(clusters, minlength=total)).astype(np.float64)
        mean = counts @ sums / n[:, None]
        second = np.tensordot(counts, products, axes=1)
        outer = mean[:, :, None] * mean[:, None, :]
        covariance = (second - n[:, None, None] * outer) / (n - 1)[:, None, None]
        return cls(mean=mean, covariance=covariance)


def frechet_distances(one: Gaussians, other: Gaussians) -> Values:
    """Compute the squared Fréchet distance of normal distributions: (...,), at least 0.

    |m1 - m2|² + tr(C1 + C2 - 2 (C1^½ C2 C1^½)^½), whose last term has the trace of (C1 C2)^½ but
    symmetric matrices all along, so that eigenvalues of symmetric matrices are enough.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal distributions",
    1982; Heusel et al., 1706.08500, equation 6.
    """
    values, vectors = np.linalg.eigh(one.covariance)
    root = vectors * np.sqrt(values.clip(0))[..., None, :] @ np.swapaxes(vectors, -1, -2)
    mixed = np.linalg.eigvalsh(root @ other.covariance @ root).clip(0)
    traces = np.trace(one.covariance + other.covariance, axis1=-2, axis2=-1)
    shift = ((one.mean - other.mean) ** 2).sum(-1)
    distance: Values = shift + traces - 2 * np.sqrt(mixed).sum(-1)
    return distance.clip(0)


def frechet_score(
    features: NDArray[np.floating],
    references: NDArray[np.floating],
    clusters: NDArray[np.int64],
    counts: NDArray[np.int64] | None,
) -> Score:
    """Compute the Fréchet distance between features and references, fitted by normals.

    Fewer rows than twice the dimensions give a distance of sampling noise and thus no value. Above
    that it is still biased upwards, the more the fewer rows: compare only distances of one pair
    list. A resample repeats clusters, so it has fewer different rows and lies higher still;
    therefore the interval is that of the resamples, shifted so that their mean is the value.

    Args:
        features: (n, D), row i from pair i.
        references: (n, D), likewise; the rows of both are resampled together.
        clusters: (n,) each row's cluster, 0..C-1.
        counts: from `resample_counts`; at most `FRECHET_RESAMPLES` of it are used.
    """
    n, size = features.shape
    if n < 2 * size:
        return Score(value=None)
    whole = np.ones((1, int(clusters.max()) + 1), np.int64)
    (value,) = _paired_distances(features, references, clusters, whole)
    if counts is None:
        return Score(value=float(value))
    drawn = _paired_distances(features, references, clusters, counts[:FRECHET_RESAMPLES])
    lo, hi = np.percentile(drawn - drawn.mean() + value, [2.5, 97.5])
    return Score(value=float(value), lo=max(float(lo), 0.0), hi=float(hi))


def _paired_distances(
    features: NDArray[np.floating],
    references: NDArray[np.floating],
    clusters: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> Values:
    return frechet_distances(
        Gaussians.fitted(references, clusters, counts), Gaussians.fitted(features, clusters, counts)
    )
