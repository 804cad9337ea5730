"""What is timed, what is not, and what a failure looks like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_bench import BenchConfig, measure
from edgeswap_bench._environment import _status_field, peak_rss_bytes, rss_bytes
from edgeswap_bench._table import table
from edgeswap_bench.measure import STAGES
from edgeswap_runtime import Bundle, FakeBackend, NoFaceFound, Swapper
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def test_every_stage_is_timed_as_often_as_asked(
    swapper: Swapper, fake_backend: FakeBackend, photo: NDArray[np.uint8]
) -> None:
    rounds: list[tuple[int, int]] = []
    config = BenchConfig(runs=4, warmup=2, sizes=((64, 64), (100, 160)))
    report = measure(swapper, photo, photo, config, lambda *at: rounds.append(at))
    assert rounds == [(n, 6) for n in range(1, 7)]
    assert report.identity.n == 4
    assert [(s.height_px, s.width_px) for s in report.sizes] == [(64, 64), (100, 160)]
    for size in report.sizes:
        assert size.error is None and size.end_to_end is not None
        assert tuple(size.stages) == STAGES
        assert {timing.n for timing in size.stages.values()} == {size.end_to_end.n} == {4}
        for run, total in enumerate(size.end_to_end.samples_ms):
            assert 0 < sum(t.samples_ms[run] for t in size.stages.values()) <= total
    assert fake_backend.calls.count("denoise") == 2 * 6
    assert fake_backend.calls.count("identity") == 1 + 6


def test_warm_up_is_left_out(tiny: Any, photo: NDArray[np.uint8]) -> None:
    """A denoiser that is slow only at first: the slow run must not show."""
    import time

    graphs, calls = tiny.fake_graphs(), []
    quick = graphs["denoise"]

    def slow_at_first(inputs: dict[str, Any]) -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 1:
            time.sleep(0.3)
        return quick(inputs)

    backend = FakeBackend({**graphs, "denoise": slow_at_first})
    bundle = Bundle(path="tiny", manifest=tiny.manifest())
    with Swapper.open(bundle, backend=backend) as swapper:
        report = measure(swapper, photo, photo, BenchConfig(runs=3, warmup=1))
    assert max(report.sizes[0].stages["denoise"].samples_ms) < 300


def test_a_size_that_fails_is_a_row_that_says_so(
    swapper: Swapper, photo: NDArray[np.uint8]
) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    report = measure(swapper, photo, black, BenchConfig(runs=2, warmup=1))
    (size,) = report.sizes
    assert size.error is not None and size.error.startswith("no face found")
    assert size.end_to_end is None and size.stages == {}
    assert "64 x 64               failed: no face found" in table(report)
    with pytest.raises(NoFaceFound):
        measure(swapper, black, photo, BenchConfig(runs=1))


def test_one_failing_size_does_not_hide_the_others(
    swapper: Swapper, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = swapper.swap

    def picky(target: Any, *args: Any, **kwargs: Any) -> Any:
        if target.shape[0] == 50:
            raise NoFaceFound("the picture")
        return real(target, *args, **kwargs)

    monkeypatch.setattr(swapper, "swap", picky)
    report = measure(swapper, photo, photo, BenchConfig(runs=2, sizes=((50, 64), (64, 64))))
    assert [size.error is None for size in report.sizes] == [False, True]


def test_the_report_is_json_and_a_table(swapper: Swapper, photo: NDArray[np.uint8]) -> None:
    report = measure(swapper, photo, photo, BenchConfig(runs=2, warmup=0))
    stored = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert stored["schema"] == 1
    assert stored["bundle"]["quality"] == {"psnr_db": 30.5}
    assert stored["settings"]["runs"] == 2 and stored["settings"]["schedule"] == "one"
    assert stored["environment"]["cpu"]["usable_cores"] >= 1
    samples = stored["sizes"][0]["end_to_end"]["samples_ms"]
    assert len(samples) == 2 and all(value > 0 for value in samples)
    shown = table(report)
    for part in ("p50", "p99", "identity (per source)", "denoise", "end to end", "psnr_db 30.5"):
        assert part in shown


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="runs is 0 and warmup 5, expected at least 1 and 0"):
        BenchConfig(runs=0)


def test_peak_memory_counts_what_was_used(tmp_path: Path) -> None:
    if rss_bytes() is None:
        pytest.skip("this system does not tell a process its memory")
    block = np.ones(40_000_000, np.uint8)
    peak = peak_rss_bytes()
    assert peak is not None and peak >= block.nbytes
    assert peak >= 0.99 * (rss_bytes() or 0)
    (tmp_path / "status").write_text("Name: x\nVmHWM:\t  12 kB\n")
    assert _status_field("VmHWM", tmp_path / "status") == 12_288
    assert _status_field("VmRSS", tmp_path / "status") is None
    assert _status_field("VmHWM", tmp_path / "nowhere") is None
