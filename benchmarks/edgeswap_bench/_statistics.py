"""What is kept of repeated timings: all of them, and the figures people compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Repeated timings of one thing, in milliseconds, none rounded.

    Attributes:
        n: how many, warm-up excluded.
        p50: median; p90 and p99 are the 90th and 99th percentile, linearly interpolated between
            neighbors. With n below 100, p99 leans on the slowest run alone.
        samples_ms: every single one, in the order they were taken.
    """

    n: int
    p50: float
    p90: float
    p99: float
    mean: float
    samples_ms: tuple[float, ...]

    @classmethod
    def of(cls, samples_ns: Sequence[int]) -> Timing:
        """Sum up timings in nanoseconds; there must be at least one."""
        samples = np.asarray(samples_ns, dtype=np.float64) / 1e6
        p50, p90, p99 = np.percentile(samples, [50, 90, 99]).tolist()
        return cls(
            n=len(samples),
            p50=p50,
            p90=p90,
            p99=p99,
            mean=float(samples.mean()),
            samples_ms=tuple(samples.tolist()),
        )
