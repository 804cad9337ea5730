"""What is timed, what is not, and what a failure looks like."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_bench import BenchConfig, BundleSubject, Report, SwapOptions, bench
from edgeswap_bench.measure.offline import measure_throughput
from edgeswap_bench.measure.results import overall
from edgeswap_bench.measure.rounds import TimedRow, warm_up
from edgeswap_bench.measure.subject import Lap, Task
from edgeswap_bench.report.table import table
from edgeswap_bench.trust.environment import peak_rss_bytes, rss_bytes
from edgeswap_runtime import Bundle, FakeBackend, NoFaceFound
from edgeswap_runtime.errors import DetectorMissing, EdgeswapFailure, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Subjects = Callable[..., BundleSubject]

STAGES = ("detect", "align", "encode", "denoise", "decode", "paste")


class Scripted:
    """A subject that takes as long as it is told; an exception is raised."""

    kind, pid, tasks = "peer", None, ("unet",)

    def __init__(self, times_ms: Iterator[Any] | list[Any], label: str = "scripted") -> None:
        self.label, self._times = label, iter(times_ms)

    def run(self, task: Task) -> Lap:
        """The next time."""
        found = next(self._times)
        if isinstance(found, Exception):
            raise found
        return Lap(total_ns=int(found * 1e6))

    def describe(self) -> dict[str, Any]:
        """Nothing."""
        return {"artifact": {}, "settings": {}, "quality": {}}

    def close(self) -> None:
        """Nothing."""


def test_every_stage_and_graph_is_timed_as_often_as_asked(
    subject: Subjects, fake_backend: FakeBackend
) -> None:
    rounds: list[tuple[int, int]] = []
    config = BenchConfig(runs=4, warmup=2, sizes=((64, 64), (100, 160)))
    report = bench([subject()], config, progress=lambda *at: rounds.append(at))
    assert rounds == [(n, 4) for n in range(1, 5)]
    identity, *pictures = report.subjects[0].tasks
    assert identity.task == "identity" and tuple(identity.stages) == ("detect", "align", "identity")
    assert [(s.height_px, s.width_px) for s in pictures] == [(64, 64), (100, 160)]
    for size in pictures:
        assert size.error is None and size.end_to_end is not None
        assert tuple(size.stages) == STAGES
        assert {timing.n for timing in size.stages.values()} == {size.end_to_end.n} == {4}
        assert {g: t.evaluations for g, t in size.graphs.items() if g != "copies"} == {
            "detector": 2, "encode": 1, "denoise": 1, "decode": 1}  # fmt: skip
        for run, total in enumerate(size.end_to_end.samples_ms):
            assert 0 < sum(t.samples_ms[run] for t in size.stages.values()) <= total
            assert size.graphs["denoise"].per_run.samples_ms[run] <= (
                size.stages["denoise"].samples_ms[run])  # fmt: skip
    assert fake_backend.calls.count("denoise") == 2 * 6


def test_a_schedule_of_two_evaluations_is_told(subject: Subjects) -> None:
    found = bench([subject(options=SwapOptions(schedule="two"))], BenchConfig(runs=2, warmup=0))
    assert found.subjects[0].settings["evaluations"] == 2
    assert found.subjects[0].tasks[1].graphs["denoise"].evaluations == 2


def test_crops_and_the_unet_alone(subject: Subjects, fake_backend: FakeBackend) -> None:
    found = bench([subject()], BenchConfig(runs=3, warmup=0, tasks=("crop", "unet")))
    crop, unet = found.subjects[0].tasks
    assert tuple(crop.stages) == ("identity", "encode", "denoise", "decode")
    assert unet.stages == {} and tuple(unet.graphs) == ("denoise",)
    assert "detector" not in fake_backend.calls


def test_warm_up_is_left_out(tiny: Any, subject: Subjects) -> None:
    """A denoiser that is slow only at first: the slow run must not show."""
    graphs, calls = tiny.fake_graphs(), []
    quick = graphs["denoise"]

    def slow_at_first(inputs: dict[str, Any]) -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 1:
            time.sleep(0.3)
        return quick(inputs)

    backend = FakeBackend({**graphs, "denoise": slow_at_first})
    report = bench([subject(backend=backend)], BenchConfig(runs=3, warmup=1))
    picture = report.subjects[0].tasks[1]
    assert max(picture.stages["denoise"].samples_ms) < 300 < picture.warmup_ms[0]


def test_warm_up_ends_when_the_figure_settles() -> None:
    row = TimedRow(Scripted([50, 40, 30, 20] + [10] * 99), Task(name="unet"))
    warm_up([row], None)
    assert row.settled and len(row.warmup_ms) == 12  # both windows have a median of 10


def test_warm_up_is_bounded_and_says_that_nothing_settled() -> None:
    row = TimedRow(Scripted(1.1**k for k in range(999)), Task(name="unet"))
    warm_up([row], None)
    assert not row.settled and len(row.warmup_ms) == 60


def test_seconds_are_a_minimum_too(subject: Subjects) -> None:
    start = time.monotonic()
    report = bench([subject()], BenchConfig(runs=1, seconds=0.3, warmup=0))
    assert time.monotonic() - start >= 0.3
    whole = report.subjects[0].tasks[0].end_to_end
    assert whole is not None and whole.n > 1


def test_a_size_that_fails_is_a_row_that_says_so(subject: Subjects) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    report = bench([subject(target=black)], BenchConfig(runs=2, warmup=1))
    (size,) = (task for task in report.subjects[0].tasks if task.task == "picture")
    assert size.error is not None and size.error.startswith("no face found")
    assert size.end_to_end is None and size.stages == {}
    assert "picture 64 x 64         failed: no face found" in table(report)
    with pytest.raises(NoFaceFound):
        bench([subject(source=black)], BenchConfig(runs=1))


def test_one_failing_size_does_not_hide_the_others(
    subject: Subjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = subject()
    real = made._swapper.swap

    def picky(target: Any, *args: Any, **kwargs: Any) -> Any:
        if target.shape[0] == 50:
            raise NoFaceFound("the picture")
        return real(target, *args, **kwargs)

    monkeypatch.setattr(made._swapper, "swap", picky)
    report = bench([made], BenchConfig(runs=2, sizes=((50, 64), (64, 64)), tasks=("picture",)))
    assert [task.error is None for task in report.subjects[0].tasks] == [False, True]


def test_a_bundle_for_crops_cannot_swap_pictures(
    tiny: Any, photo: NDArray[np.uint8], fake_backend: FakeBackend
) -> None:
    bundle = Bundle(path="crops", manifest=tiny.manifest(graphs=tiny.crop_graphs()))  # type: ignore[arg-type]
    made = BundleSubject(bundle, photo, photo, backend=fake_backend)
    with pytest.raises(DetectorMissing):
        bench([made], BenchConfig(runs=1))
    crops = bench([made], BenchConfig(runs=1, warmup=0, tasks=("crop",)))
    assert crops.subjects[0].tasks[0].error is None


def test_ratios_are_of_rounds_in_turns() -> None:
    first, second = Scripted([2] * 99, "first"), Scripted([3, 6] * 99, "second")
    report = bench([first, second], BenchConfig(runs=8, warmup=0, tasks=("unet",)))
    (ratio,) = report.ratios
    assert (ratio.subject, ratio.base, ratio.task, ratio.paired) == (
        "second", "first", "unet", True)  # fmt: skip
    assert ratio.ratio == 3  # each timed run follows an untimed one: always the 6
    assert "second, unet" in table(report)


def test_a_subject_that_fails_half_way_is_a_row() -> None:
    broken = Scripted([1, 1, 1, EdgeswapFailure("it broke")], "broken")
    report = bench([Scripted([2] * 99), broken], BenchConfig(runs=8, warmup=0, tasks=("unet",)))
    assert [subject.tasks[0].error for subject in report.subjects] == [None, "it broke"]
    assert report.ratios == ()
    assert report.subjects[1].tasks[0].end_to_end is None
    assert overall(report.subjects[1:]).state == "few"


def test_throughput_of_batches(tiny: Any, fake_backend: FakeBackend) -> None:
    manifest = tiny.manifest()
    one, four = measure_throughput(
        manifest, fake_backend, manifest.schedules["two"], BenchConfig(batches=(1, 4))
    )
    assert one.error is None and one.crops == 10 and one.crops_per_s == 10 / one.seconds
    assert four.crops_per_s is None
    assert four.error is not None and "takes batches up to 1: edgeswap export --batch" in four.error
    assert fake_backend.calls[:4] == ["encode", "denoise", "denoise", "decode"]


def test_cold_starts_and_memory_of_fresh_processes(
    bundle_folder: Path, photo: NDArray[np.uint8]
) -> None:
    made = BundleSubject(bundle_folder, photo, photo, SwapOptions(threads=1))
    report = bench([made], BenchConfig(runs=1, warmup=0, starts=1, tasks=("unet",)))
    made.close()
    found = report.subjects[0]
    assert found.fresh_error is None
    assert [start.cache for start in found.starts] == ["empty", "filled"]
    for start in found.starts:
        assert 0 < start.interpreter_ms < start.imported_ms < start.opened_ms < start.first_ms
    memory = found.memory
    assert memory is not None
    if rss_bytes() is not None:
        assert set(memory.steps) >= {"python", "runtime", "backend library", "open denoise",
                                     "run denoise", "open detector"}  # fmt: skip
        assert memory.sum_bytes == sum(memory.steps.values())
        assert 0.7 < memory.sum_bytes / memory.swapper_bytes < 1.3
    assert "cold start, filled cache" in table(report)


def test_a_fresh_process_that_fails_is_told(bundle_folder: Path, photo: NDArray[np.uint8]) -> None:
    made = BundleSubject(bundle_folder, photo, photo, SwapOptions(threads=1))
    (bundle_folder / "encode.onnx").write_bytes(b"damaged")
    report = bench([made], BenchConfig(runs=1, warmup=0, starts=1, tasks=("unet",)))
    made.close()
    assert "encode.onnx" in (report.subjects[0].fresh_error or "")
    assert "cold start, memory      failed: a fresh process could not run" in table(report)


def test_the_report_is_json_and_a_table(subject: Subjects) -> None:
    report = bench([subject()], BenchConfig(runs=6, warmup=0))
    stored = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert Report.from_json(stored) == report
    assert (stored["schema"], stored["kind"]) == (3, "edgeswap-bench")
    assert stored["subjects"][0]["quality"] == {"psnr_db": 30.5}
    assert stored["config"]["runs"] == 6
    assert stored["subjects"][0]["settings"]["schedule"] == "one"
    assert stored["environment"]["cpu"]["usable_cores"] >= 1
    samples = stored["subjects"][0]["tasks"][0]["end_to_end"]["samples_ms"]
    assert len(samples) == 6 and all(value > 0 for value in samples)
    shown = table(report)
    for part in ("p50", "p99", "identity (per source)", "graph denoise", "psnr_db 30.5", "verdict"):
        assert part in shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": 0}, "runs is 0 and warmup None, expected at least 1 and 0"),
        ({"seconds": -1.0}, "seconds is -1.0 and starts 0"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"tasks": ("nap",)}, "there is no task 'nap': expected some of identity, picture"),
        ({"batches": (0,)}, "batches are"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        BenchConfig(**changes)


def test_peak_memory_counts_what_was_used() -> None:
    if rss_bytes() is None:
        pytest.skip("this system does not tell a process its memory")
    block = np.ones(40_000_000, np.uint8)
    peak = peak_rss_bytes()
    assert peak is not None and peak >= block.nbytes
    assert peak >= 0.99 * (rss_bytes() or 0)


def test_a_median_of_too_few_runs_stands_in_brackets() -> None:
    few = bench([Scripted([2] * 9)], BenchConfig(runs=5, warmup=0, tasks=("unet",)))
    enough = bench([Scripted([2] * 9)], BenchConfig(runs=6, warmup=0, tasks=("unet",)))
    assert "(2.00)" in table(few) and "(2.00)" not in table(enough)
