"""What a run gives: frozen values that are stored as JSON and read back.

`docs/reference/bench-report.md` documents every field. A change of meaning raises `SCHEMA`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeswap_bench._statistics import Interval, Timing
from edgeswap_bench.trust.verdict import Verdict, judge, worst
from edgeswap_bench.trust.watch import Conditions
from edgeswap_runtime.bundle import schema as _schema

if TYPE_CHECKING:
    from edgeswap_bench.measure.rounds import TimedRow

SCHEMA = 3
KIND = "edgeswap-bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphTiming:
    """One graph inside a task.

    Attributes:
        per_run: time of one evaluation; each sample is the mean over a lap's evaluations.
        evaluations: how often the graph ran in the first lap.
    """

    per_run: Timing
    evaluations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One task of one subject: its timings, or why there are none.

    Attributes:
        task: "identity", "picture", "crop" or "unet".
        height_px: of the target, for pictures.
        width_px: of the target, for pictures.
        error: what went wrong, in one line; None when all went well.
        end_to_end: the whole task.
        stages: stage -> time a lap.
        graphs: graph, or "copies" to and from the device -> time.
        warmup_ms: the untimed runs before, in order.
        verdict: what the figures are worth.
        verdicts: "end_to_end" or the stage -> what that figure is worth.
    """

    task: str
    height_px: int | None
    width_px: int | None
    error: str | None
    end_to_end: Timing | None
    stages: dict[str, Timing] = field(default_factory=dict)
    graphs: dict[str, GraphTiming] = field(default_factory=dict)
    warmup_ms: tuple[float, ...] = ()
    verdict: Verdict
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The task, with the size of its picture."""
        size = f" {self.width_px} x {self.height_px}" if self.height_px is not None else ""
        return f"{self.task}{size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """MLPerf's Offline scenario: aligned crops a second, all of them there from the start.

    Attributes:
        batch: crops per evaluation.
        error: why there is no figure; None when there is one.
        crops: how many were swapped.
        seconds: in how long.
        crops_per_s: their quotient.
    """

    batch: int
    error: str | None
    crops: int
    seconds: float
    crops_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start in a fresh process, milliseconds since it was launched.

    Attributes:
        cache: "empty" (compiled kernels are made) or "filled" (they are found).
        interpreter_ms: Python runs.
        imported_ms: the runtime and the backend's library are imported.
        opened_ms: the bundle is open and verified.
        first_ms: the first swap is done.
        second_swap_ms: how long the second swap took.
        steady_ms: the median swap of a crop after that, of up to 100 within 2 seconds. One process
            is faster than the next, by where its memory lies: figures of one process alone do
            not show it.
    """

    cache: str
    interpreter_ms: float
    imported_ms: float
    opened_ms: float
    first_ms: float
    second_swap_ms: float
    steady_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory of a fresh process, step by step, in bytes.

    Attributes:
        steps: what was done -> what it added: "python", "runtime", "backend library", then
            "open GRAPH" and "run GRAPH" for each graph, then "swap" for what is around them.
        sum_bytes: of the steps.
        swapper_bytes: of another fresh process that opens the whole bundle and swaps; what the
            sum is to explain.
        peak_bytes: the most that process ever had.
    """

    steps: dict[str, int]
    sum_bytes: int
    swapper_bytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectResult:
    """All that was measured of one subject.

    Attributes:
        label: its name in this report.
        kind: "bundle", "checkpoint" or "peer".
        artifact: path, name, hash and sizes of what was run.
        settings: how it was run.
        quality: what its bundle states of its swaps.
        error: why it could not be started; None when it could.
        tasks: one result each.
        throughput: one result a batch size.
        starts: one result a fresh process.
        memory: where it was measured.
        fresh_error: why starts or memory are missing though asked for; else None.
    """

    label: str
    kind: str
    artifact: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    tasks: tuple[TaskResult, ...] = ()
    throughput: tuple[Throughput, ...] = ()
    starts: tuple[Start, ...] = ()
    memory: Memory | None = None
    fresh_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times as long one subject takes as another, on one task.

    Attributes:
        task: the task's name, with its size.
        subject: label of the one that is compared.
        base: label of the one it is compared with.
        ratio: above 1 where the subject is slower.
        interval: 95 % interval of the ratio.
        paired: timed in turns in one run (median of the rounds' ratios) or apart (ratio of
            medians, bootstrapped).
    """

    task: str
    subject: str
    base: str
    ratio: float
    interval: Interval
    paired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole benchmark; `to_json` stores it unrounded, `from_json` reads it back.

    Attributes:
        schema: version of this format.
        kind: "edgeswap-bench".
        config: what was asked for; the fields of `BenchConfig`.
        environment: the machine and the software, as `edgeswap doctor --json` describes them, with
            load average, thread variables, git revision, governor and power mode.
        conditions: what the machine did while the tasks were timed.
        subjects: what was timed; the first is what the others are compared with.
        ratios: the others' times to the first's.
        explanations: with --explain, one a graph of the first subject.
        estimates: with --predict, one a device; never measurements.
        peak_rss_bytes: the most resident memory of the measuring process, all subjects in it.
        verdict: the worst of the end-to-end figures'.
    """

    schema: int = SCHEMA
    kind: str = KIND
    config: dict[str, Any]
    environment: dict[str, Any]
    conditions: Conditions
    subjects: tuple[SubjectResult, ...]
    ratios: tuple[Ratio, ...] = ()
    explanations: tuple[dict[str, Any], ...] = ()
    estimates: tuple[dict[str, Any], ...] = ()
    peak_rss_bytes: int | None = None
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-ready dicts and lists."""
        encoded: dict[str, Any] = _schema.encode(self)
        return encoded

    @classmethod
    def from_json(cls, body: Any) -> Report:
        """Read a report back.

        Raises:
            _schema.SchemaError: a field is missing, unknown or of another type.
        """
        return _schema.decode(cls, body, "report")


def task_result(row: TimedRow, conditions: Conditions) -> TaskResult:
    """Sum up a row."""
    task = row.task
    place = {"task": task.name, "height_px": task.height_px, "width_px": task.width_px}
    if row.error is not None or not row.laps:
        why = row.error or "it was never run"
        failed = Verdict(state="few", reasons=(f"failed: {why}",))
        return TaskResult(**place, error=why, end_to_end=None, verdict=failed)  # type: ignore[arg-type]
    timings = {"end_to_end": Timing.of([lap.total_ns for lap in row.laps])}
    for stage in row.laps[0].stages:
        timings[stage] = Timing.of([lap.stages[stage] for lap in row.laps])
    verdicts = {
        name: judge(timing, conditions, settled=row.settled) for name, timing in timings.items()
    }
    whole = timings.pop("end_to_end")
    return TaskResult(
        **place,  # type: ignore[arg-type]
        error=None,
        end_to_end=whole,
        stages=timings,
        graphs=_graph_timings(row),
        warmup_ms=tuple(row.warmup_ms),
        verdict=verdicts["end_to_end"],
        verdicts=verdicts,
    )


def overall(subjects: tuple[SubjectResult, ...]) -> Verdict:
    """A report is worth what the worst of its end-to-end figures is."""
    return worst(
        task.verdict for subject in subjects for task in subject.tasks if task.error is None
    )


def _graph_timings(row: TimedRow) -> dict[str, GraphTiming]:
    found = {}
    for name, (_, count) in row.laps[0].graphs.items():
        spent = [lap.graphs[name] for lap in row.laps if name in lap.graphs]
        means = [total // runs for total, runs in spent]
        found[name] = GraphTiming(per_run=Timing.of(means), evaluations=count)
    return found
