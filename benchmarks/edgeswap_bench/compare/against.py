"""Open what a bundle is compared with: other bundles, checkpoints, stored reports."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_bench._statistics import ratio_of_medians
from edgeswap_bench.compare.worker import WorkerSubject
from edgeswap_bench.measure.bundle_subject import BundleSubject
from edgeswap_bench.measure.config import SwapOptions
from edgeswap_bench.measure.load import read_report
from edgeswap_bench.measure.results import Ratio, Report, SubjectResult
from edgeswap_runtime.errors import EdgeswapFailure, InvalidRequest

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_bench.measure.subject import TimedSubject

_OPTIONS = ("backend", "device", "precision", "threads", "schedule", "label")


@dataclass(slots=True, kw_only=True)
class Against:
    """What was opened.

    Attributes:
        subjects: timed in turns with the bundle.
        failed: results of those that could not be opened.
        reports: (name, report) of stored reports.
    """

    subjects: list[TimedSubject] = field(default_factory=list)
    failed: list[SubjectResult] = field(default_factory=list)
    reports: list[tuple[str, Report]] = field(default_factory=list)

    def with_reports(self, report: Report) -> Report:
        """Add the stored reports' subjects, and their ratios to this report's first subject."""
        for name, stored in self.reports:
            renamed = tuple(
                dataclasses.replace(subject, label=f"{name}: {subject.label}")
                for subject in stored.subjects
            )
            ratios = tuple(_ratios(renamed, report.subjects[0]))
            report = dataclasses.replace(
                report,
                subjects=(*report.subjects, *renamed),
                ratios=(*report.ratios, *ratios),
            )
        return report


def tasks_for(texts: Sequence[str]) -> tuple[str, ...]:
    """Choose the tasks to time by default: a checkpoint swaps aligned crops only."""
    kinds = {_kind(_parse(text)[0]) for text in texts}
    return ("identity", "picture", "crop") if "checkpoint" in kinds else ("identity", "picture")


def open_against(
    texts: Sequence[str],
    first: BundleSubject,
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    stack: contextlib.ExitStack,
) -> Against:
    """Open everything that `--against` names.

    Args:
        texts: folders or files, each perhaps with ",name=value" options.
        first: the bundle they are compared with; its options are the default.
        source: (H, W, 3) uint8, RGB, with a face.
        target: the same.
        stack: closes what is opened.

    Raises:
        InvalidRequest: not a bundle, a checkpoint or a report, or an option that does not exist.
    """
    found = Against()
    parsed = [_parse(text) for text in texts]
    for path, _ in parsed:
        _kind(path)  # everything is checked before anything slow is done
    labels = [first.label]
    for path, options in parsed:
        kind = _kind(path)
        label = _label(options.pop("label", "") or _name(path, options), labels)
        labels.append(label)
        if kind == "report":
            found.reports.append((label, read_report(path)))
            continue
        opened: TimedSubject
        try:
            if kind == "bundle":
                chosen = _swap_options(first.options, options)
                opened = BundleSubject(path, source, target, chosen, label=label)
            else:
                opened = _checkpoint(path, label, first)
        except EdgeswapFailure as error:
            found.failed.append(SubjectResult(label=label, kind=kind, error=str(error)))
            continue
        stack.callback(opened.close)
        found.subjects.append(opened)
    return found


def _checkpoint(path: Path, label: str, first: BundleSubject) -> WorkerSubject:
    arguments = [str(path)]
    if first.options.threads is not None:
        arguments += ["--threads", str(first.options.threads)]
    return WorkerSubject("checkpoint", arguments, label=label, kind="checkpoint")


def _parse(text: str) -> tuple[Path, dict[str, str]]:
    """Split "DIR,backend=openvino" into the path and the options."""
    path, *parts = text.split(",")
    options = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or name not in _OPTIONS or not value:
            raise InvalidRequest(
                f"--against {text}: '{part}' is not an option, expected NAME=VALUE with a name of "
                f"{', '.join(_OPTIONS)}"
            )
        options[name] = value
    return Path(path), options


def _kind(path: Path) -> str:
    if path.is_file():
        return "report"
    if (path / "manifest.json").is_file():
        return "bundle"
    if (path / "swap.json").is_file():
        return "checkpoint"
    what = "holds neither manifest.json nor swap.json" if path.is_dir() else "does not exist"
    raise InvalidRequest(
        f"--against {path} {what}: expected a bundle folder, a checkpoint folder or a report of "
        "edgeswap bench --json"
    )


def _swap_options(base: SwapOptions, changes: dict[str, str]) -> SwapOptions:
    values: dict[str, Any] = dict(changes)
    if "threads" in values:
        if not values["threads"].isdecimal() or int(values["threads"]) < 1:
            raise InvalidRequest(f"threads is '{values['threads']}', expected at least 1")
        values["threads"] = int(values["threads"])
    if "backend" in values and "precision" not in values:
        values["precision"] = None  # the other backend's word may mean nothing to this one
    return dataclasses.replace(base, **values)


def _name(path: Path, options: dict[str, str]) -> str:
    words = [options[name] for name in ("backend", "device", "precision") if name in options]
    words += ["in torch"] if _kind(path) == "checkpoint" else []
    return " ".join([path.stem if path.is_file() else path.name, *words])


def _label(wanted: str, taken: Iterable[str]) -> str:
    """A label that nothing else has."""
    used, label, number = set(taken), wanted, 2
    while label in used:
        label, number = f"{wanted} ({number})", number + 1
    return label


def _ratios(subjects: Iterable[SubjectResult], base: SubjectResult) -> Iterator[Ratio]:
    """Of stored subjects to the one that was just measured: timed apart."""
    own = {task.name: task.end_to_end for task in base.tasks}
    for subject in subjects:
        for task in subject.tasks:
            measured = own.get(task.name)
            if task.end_to_end is None or measured is None:
                continue
            ratio, interval = ratio_of_medians(task.end_to_end.samples_ms, measured.samples_ms)
            yield Ratio(task=task.name, subject=subject.label, base=base.label, ratio=ratio,
                        interval=interval, paired=False)  # fmt: skip
