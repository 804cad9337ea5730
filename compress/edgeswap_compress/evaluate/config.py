"""Settings of an evaluation."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeswap_compress._checks import BATCH, THREADS, check_ranges, check_seed
from edgeswap_compress.evaluate._errors import InvalidEvaluation

SPREAD_PAIRS = 32
"""On how many pairs the diversity over seeds is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """Settings of an evaluation: on what to judge, and how closely.

    Attributes:
        limit: only the first so many pairs of the list.
        batch_size: pairs at a time; changes no figure.
        seed: of the noise and of the bootstrap.
        seeds: noises for each of the first `SPREAD_PAIRS` pairs, for the diversity; 1 leaves that
            out.
        resamples: of the bootstrap.
        pairs_sha256: refuse any other pair list.
        threads: of the judges; their own choice when None.
        resize: let a model of other crops than the set's swap them re-cut to its own side and
            alignment, and back.
    """

    limit: int | None = None
    batch_size: int = 16
    seed: int = 0
    seeds: int = 4
    resamples: int = 2000
    pairs_sha256: str | None = None
    threads: int | None = None
    resize: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_ranges(
            self, batch_size=BATCH, seeds=(1, 1000), resamples=(100, 1_000_000), threads=THREADS
        )
        if self.pairs_sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.pairs_sha256):
            raise InvalidEvaluation(f"--pairs-sha256 {self.pairs_sha256!r}: expected 64 hex digits")
