"""Run a whole benchmark: warm up, time in turns, then throughput, cold starts and memory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from edgeswap_bench._statistics import ratio_of_pairs
from edgeswap_bench.measure.bundle_subject import BundleSubject
from edgeswap_bench.measure.fresh import time_starts, weigh
from edgeswap_bench.measure.offline import measure_throughput
from edgeswap_bench.measure.results import Ratio, Report, SubjectResult, overall, task_result
from edgeswap_bench.measure.rounds import TimedRow, time_in_turns, warm_up
from edgeswap_bench.measure.subject import Task
from edgeswap_bench.trust.environment import environment, peak_rss_bytes
from edgeswap_bench.trust.verdict import with_processes
from edgeswap_bench.trust.watch import MachineWatch
from edgeswap_runtime.bundle import schema as _schema
from edgeswap_runtime.errors import EdgeswapFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from edgeswap_bench.measure.config import BenchConfig
    from edgeswap_bench.measure.results import TaskResult
    from edgeswap_bench.measure.subject import TimedSubject
    from edgeswap_bench.trust.watch import Conditions


def bench(
    subjects: Sequence[TimedSubject],
    config: BenchConfig,
    *,
    failed: Sequence[SubjectResult] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Time subjects in turns and report.

    Args:
        subjects: opened; the first is what the others are compared with. Labels differ.
        config: what to time, how often.
        failed: results of subjects that could not be opened; they are rows that say so.
        progress: called with rounds done and rounds expected.

    Returns:
        The report: a failed task is a result that says so.

    Raises:
        NoFaceFound: in the source.
        DetectorMissing: a bundle is for aligned crops only, and pictures are to be timed.
    """
    rows = [TimedRow(subject, task) for subject in subjects for task in _tasks(subject, config)]
    for row in rows:
        if isinstance(row.subject, BundleSubject):
            row.subject.prepare(row.task)
    warm_up(rows, config.warmup)
    watch = MachineWatch(workers=lambda: _workers(subjects))
    time_in_turns(rows, config, watch, progress)
    conditions = watch.stop()
    peak = peak_rss_bytes()
    results = tuple(_result(subject, rows, config, conditions) for subject in subjects)
    return Report(
        config=_schema.encode(config),
        environment=_schema.encode(environment()),
        conditions=conditions,
        subjects=(*results, *failed),
        ratios=tuple(_ratios(rows)),
        peak_rss_bytes=peak,
        verdict=overall(results),
    )


def _tasks(subject: TimedSubject, config: BenchConfig) -> list[Task]:
    """What to time of a subject: what is asked for and what it can do."""
    tasks = []
    for name in config.tasks:
        if name not in subject.tasks:
            continue
        if isinstance(subject, BundleSubject) and name == "picture":
            sizes = config.sizes or (subject.target_size,)
            tasks += [Task(name=name, height_px=h, width_px=w) for h, w in sizes]
        else:
            tasks.append(Task(name=name))
    return tasks


def _result(
    subject: TimedSubject, rows: Sequence[TimedRow], config: BenchConfig, conditions: Conditions
) -> SubjectResult:
    """All of one subject: what was timed in turns, and what is measured apart."""
    facts: dict[str, Any] = subject.describe()
    result = SubjectResult(
        label=subject.label,
        kind=subject.kind,
        artifact=facts["artifact"],
        settings=facts["settings"],
        quality=facts["quality"],
        tasks=tuple(task_result(row, conditions) for row in rows if row.subject is subject),
    )
    if not isinstance(subject, BundleSubject):
        return result
    if config.batches:
        throughput = measure_throughput(
            subject.bundle.manifest, subject.backend, subject.schedule, config
        )
        result = dataclasses.replace(result, throughput=throughput)
    return _with_fresh(result, subject, config) if config.starts else result


def _with_fresh(
    result: SubjectResult, subject: BundleSubject, config: BenchConfig
) -> SubjectResult:
    """Add what fresh processes tell; where one fails, the result says so."""
    place = (subject.bundle.path, subject.options)
    try:
        result = dataclasses.replace(result, memory=weigh(*place))
        result = dataclasses.replace(result, starts=time_starts(*place, config.starts))
    except EdgeswapFailure as error:
        return dataclasses.replace(result, fresh_error=str(error))
    return dataclasses.replace(result, tasks=tuple(_judged_again(result)))


def _judged_again(result: SubjectResult) -> Iterator[TaskResult]:
    """Judge every task by how far apart the processes are that swapped crops."""
    swaps = [start.steady_ms for start in result.starts]
    swaps += [task.end_to_end.median for task in result.tasks
              if task.task == "crop" and task.end_to_end is not None]  # fmt: skip
    for task in result.tasks:
        yield dataclasses.replace(task, verdict=with_processes(task.verdict, swaps))


def _ratios(rows: Sequence[TimedRow]) -> Iterable[Ratio]:
    """Every subject against the first, on each task that both did."""
    base_label = rows[0].subject.label if rows else ""
    base = {row.task: row for row in rows if row.subject.label == base_label}
    for row in rows:
        first = base.get(row.task)
        if first is None or first is row or not (row.laps and first.laps):
            continue
        times = [[lap.total_ns / 1e6 for lap in each.laps] for each in (row, first)]
        ratio, interval = ratio_of_pairs(*times)
        yield Ratio(
            task=str(row.task),
            subject=row.subject.label,
            base=base_label,
            ratio=ratio,
            interval=interval,
            paired=True,
        )


def _workers(subjects: Sequence[TimedSubject]) -> list[int]:
    """Process ids of subjects that run in processes of their own."""
    return [subject.pid for subject in subjects if subject.pid is not None]
