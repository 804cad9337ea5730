"""Timing a swapper: warm-up, then every size in turn, run after run."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_bench._environment import environment, peak_rss_bytes
from edgeswap_bench._statistics import Timing
from edgeswap_bench.pictures import fit
from edgeswap_runtime import EdgeswapError, StageClock
from edgeswap_runtime.errors import EdgeswapFailure, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_runtime import Identity, Swapper

STAGES = ("detect", "align", "encode", "denoise", "decode", "paste")
SCHEMA = 1

MOST_RUNS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """What to time.

    Attributes:
        runs: how often each size is timed.
        warmup: how often it runs before that, untimed.
        sizes: (height, width) in pixels; the target's own size when empty.
    """

    runs: int = 50
    warmup: int = 5
    sizes: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not (1 <= self.runs <= MOST_RUNS and 0 <= self.warmup <= MOST_RUNS):
            raise InvalidRequest(
                f"runs is {self.runs} and warmup {self.warmup}, expected at least 1 and 0, "
                f"and at most {MOST_RUNS}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeResult:
    """One picture size: its timings, or why there are none.

    Attributes:
        height_px: of the picture.
        width_px: of the picture.
        error: what went wrong, in one line; None when all went well.
        stages: stage -> timing; `detect` looks for faces and at the chosen one, `paste` blends.
        end_to_end: picture array in, picture array out, the identity being known; reading and
            writing files is not in it.
    """

    height_px: int
    width_px: int
    error: str | None
    stages: dict[str, Timing]
    end_to_end: Timing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole benchmark; `to_json` stores it unrounded."""

    bundle: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    identity: Timing
    sizes: tuple[SizeResult, ...]
    peak_rss_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-ready dicts and lists."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}


def measure(
    swapper: Swapper,
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    config: BenchConfig,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Time a swapper.

    Sizes are interleaved: each round swaps once at every size, so that a machine that grows hot or
    busy slows all of them alike. A size that fails becomes a row that says so.

    Args:
        swapper: opened on the backend and schedule to time.
        source: (H, W, 3) uint8, RGB, with a face.
        target: the same, scaled into each of the sizes.
        config: what to time.
        progress: called with rounds done and rounds in all.

    Raises:
        NoFaceFound: in the source.
    """
    identity, identity_timing = _time_identity(swapper, source, config)
    sizes = config.sizes or (target.shape[:2],)
    pictures = [fit(target, size) if config.sizes else target for size in sizes]
    rows = [_Row() for _ in sizes]
    rounds = config.warmup + config.runs
    for done in range(rounds):
        for row, picture in zip(rows, pictures, strict=True):
            row.run(swapper, picture, identity, keep=done >= config.warmup)
        if progress is not None:
            progress(done + 1, rounds)
    manifest = swapper.bundle.manifest
    return Report(
        bundle={
            "path": str(swapper.bundle.path),
            "name": manifest.name,
            "manifest_sha256": manifest.manifest_sha256,
            "total_bytes": sum(entry.bytes for entry in manifest.files.values()),
            "quality": manifest.quality,
        },
        settings={
            "schedule": swapper.schedule_name,
            "evaluations": len(swapper.schedule.rows),
            "seed": swapper.seed,
            "runs": config.runs,
            "warmup": config.warmup,
        },
        environment=environment(),
        identity=identity_timing,
        sizes=tuple(
            row.result(height, width) for row, (height, width) in zip(rows, sizes, strict=True)
        ),
        peak_rss_bytes=peak_rss_bytes(),
    )


class _Row:
    """The timings of one size while they are taken."""

    def __init__(self) -> None:
        self._clock = StageClock()
        self._stages: dict[str, list[int]] = {stage: [] for stage in STAGES}
        self._totals: list[int] = []
        self._error: str | None = None

    def run(
        self, swapper: Swapper, picture: NDArray[np.uint8], identity: Identity, *, keep: bool
    ) -> None:
        """Swap once; after a failure, do nothing more."""
        if self._error is not None:
            return
        start_ns = time.perf_counter_ns()
        try:
            swapper.swap(picture, identity, clock=self._clock)
        except (EdgeswapError, EdgeswapFailure) as error:
            self._error = str(error)
            return
        total_ns = time.perf_counter_ns() - start_ns
        spent = self._clock.lap()
        if keep:
            self._totals.append(total_ns)
            for stage in STAGES:
                self._stages[stage].append(spent[stage])

    def result(self, height_px: int, width_px: int) -> SizeResult:
        """What was measured; nothing at all after a failure."""
        failed = self._error is not None
        return SizeResult(
            height_px=height_px,
            width_px=width_px,
            error=self._error,
            stages={} if failed else {k: Timing.of(v) for k, v in self._stages.items()},
            end_to_end=None if failed else Timing.of(self._totals),
        )


def _time_identity(
    swapper: Swapper, source: NDArray[np.uint8], config: BenchConfig
) -> tuple[Identity, Timing]:
    """The identity, and what it costs from the picture on: detect, align, encode."""
    identity = swapper.identity(source)
    for _ in range(config.warmup):
        swapper.identity(source)
    samples = []
    for _ in range(config.runs):
        start_ns = time.perf_counter_ns()
        swapper.identity(source)
        samples.append(time.perf_counter_ns() - start_ns)
    return identity, Timing.of(samples)
