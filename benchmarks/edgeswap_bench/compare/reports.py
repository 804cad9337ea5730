"""Compare two stored reports: has anything become slower?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_bench._statistics import Interval, ratio_of_medians
from edgeswap_bench.trust.verdict import SETTLED
from edgeswap_runtime.bundle import schema as _schema
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeswap_bench._statistics import Timing
    from edgeswap_bench.measure.results import Report, SubjectResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure in two reports.

    Attributes:
        subject: its label.
        figure: the task, and the stage where it is one.
        first_ms: median in the first report.
        second_ms: median in the second.
        ratio: second / first.
        interval: 95 % interval of the ratio.
        settled: both figures are.
        slower: beyond the limit, and the interval lies above 1.
    """

    subject: str
    figure: str
    first_ms: float
    second_ms: float
    ratio: float
    interval: Interval
    settled: bool
    slower: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two reports, figure by figure.

    Attributes:
        changes: one for each figure that both have.
        missing: figures that only one of them has, or that failed in one.
        notes: differences of the machines or versions, which may be the whole reason.
        limit: share by which a whole task may be slower; None where nobody asked.
    """

    changes: tuple[Change, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    limit: float | None

    @property
    def slower(self) -> bool:
        """Whether a whole task became slower than the limit allows, or is missing."""
        return self.limit is not None and (
            any(change.slower for change in self.changes) or bool(self.missing)
        )

    @property
    def unsettled(self) -> bool:
        """Whether a whole task's figure is not settled in one of the two."""
        return any(not change.settled for change in self.changes if "," not in change.figure)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        encoded: dict[str, Any] = _schema.encode(self)
        return encoded | {"slower": self.slower, "unsettled": self.unsettled}


def compare_reports(first: Report, second: Report, limit: float | None = None) -> Comparison:
    """Compare the figures that two reports have in common.

    Args:
        first: the older one.
        second: the newer one.
        limit: share by which a whole task may be slower, such as 0.05.

    Raises:
        InvalidRequest: they have no figure in common.
    """
    one, two = dict(_figures(first)), dict(_figures(second))
    shared = [key for key in one if key in two]
    if not shared:
        raise InvalidRequest(
            f"the reports have no figure in common: found {_names(one)} and {_names(two)}"
        )
    return Comparison(
        changes=tuple(_change(key, one[key], two[key], limit) for key in shared),
        missing=tuple(
            f"{label}, {figure}" for label, figure in sorted(one.keys() ^ two.keys())
            if "," not in figure
        ),
        notes=tuple(_notes(first, second)),
        limit=limit,
    )  # fmt: skip


def parse_percent(text: str) -> float:
    """Read "5%" or "5" as 0.05.

    Raises:
        InvalidRequest: not a number of 0 or more.
    """
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InvalidRequest(f"'{text}' is not a percentage: expected 0 or more, such as 5%")
    return value / 100


def _figures(report: Report) -> Iterator[tuple[tuple[str, str], tuple[Timing, bool]]]:
    """(label, figure) -> (timing, settled). A lone subject needs no label to be recognized."""
    for subject in report.subjects:
        label = subject.label if len(report.subjects) > 1 else "the bundle"
        for task in subject.tasks:
            if task.end_to_end is not None:
                settled = task.verdict.state == SETTLED
                yield (label, task.name), (task.end_to_end, settled)
            for stage, timing in task.stages.items():
                settled = stage in task.verdicts and task.verdicts[stage].state == SETTLED
                yield (label, f"{task.name}, {stage}"), (timing, settled)


def _change(
    key: tuple[str, str], first: tuple[Timing, bool], second: tuple[Timing, bool],
    limit: float | None,
) -> Change:  # fmt: skip
    ratio, interval = ratio_of_medians(second[0].samples_ms, first[0].samples_ms)
    whole = "," not in key[1]
    return Change(
        subject=key[0],
        figure=key[1],
        first_ms=first[0].median,
        second_ms=second[0].median,
        ratio=ratio,
        interval=interval,
        settled=first[1] and second[1],
        slower=limit is not None and whole and ratio > 1 + limit and interval.low > 1,
    )


def _notes(first: Report, second: Report) -> Iterator[str]:
    """What differs besides the times."""
    places = {
        "processor": ("cpu", "model"),
        "usable cores": ("cpu", "usable_cores"),
        "onnxruntime": ("backends", "onnxruntime", "version"),
        "openvino": ("backends", "openvino", "version"),
        "python": ("python",),
        "system": ("system",),
    }
    for words, path in places.items():
        found: list[Any] = [first.environment, second.environment]
        for key in path:
            found = [value.get(key) if isinstance(value, dict) else None for value in found]
        if found[0] != found[1]:
            yield f"{words} differs: {found[0]} and {found[1]}"
    for one, two in zip(first.subjects, second.subjects, strict=False):
        yield from _settings_notes(one, two)


def _settings_notes(one: SubjectResult, two: SubjectResult) -> Iterator[str]:
    for name in ("backend", "device", "precision", "threads", "schedule"):
        found = one.settings.get(name), two.settings.get(name)
        if found[0] != found[1]:
            yield f"{name} differs: {found[0]} and {found[1]}"


def _names(figures: dict[tuple[str, str], Any]) -> str:
    return ", ".join(sorted({figure for _, figure in figures if "," not in figure})) or "none"
