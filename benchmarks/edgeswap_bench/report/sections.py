"""The parts of the page: each gives one section, or none where there is nothing to show."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from edgeswap_bench.report import charts
from edgeswap_bench.report.table import shown_median, stated_quality

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeswap_bench._statistics import Timing
    from edgeswap_bench.measure.results import Report, SubjectResult, TaskResult

_QUALITIES = ("psnr_inside_db", "psnr_db", "identity_top1", "ssim")
"""Quality figures, the one to draw first; higher is better."""
_WORDS = ("verdict", "quality", "published ceilings")
"""Columns that hold sentences."""
_WORDY = ' class="words"'


def head(report: Report) -> str:
    """The title, the verdict, the machine."""
    cpu = report.environment["cpu"]
    conditions = report.conditions
    busy = (
        ""
        if conditions.others_cores is None
        else f", other processes {conditions.others_cores:.2f} cores"
    )
    state = report.verdict.state
    return (
        f"<h1>{_safe(report.subjects[0].label)}</h1>"
        f'<p><strong class="{state}">{_safe(str(report.verdict))}</strong></p>'
        f'<p class="soft">{_safe(cpu["model"])}, {cpu["usable_cores"]} usable cores, '
        f"{_safe(report.environment['system'])}; {conditions.seconds:.1f} s{busy}</p>"
    )


def figures(report: Report) -> Iterator[str]:
    """Every figure, with its interval and its verdict."""
    rows = [row for subject in report.subjects for row in _subject_rows(subject)]
    names = ["milliseconds", "p50", "95 % interval", "p90", "p99", "slowest", "n", "verdict"]
    yield _section("Figures", _table(names, rows), wide=True)


def _subject_rows(subject: SubjectResult) -> Iterator[list[str]]:
    label = subject.label
    if subject.error is not None:
        yield [label, *["–"] * 6, f"failed: {subject.error}"]
    for task in subject.tasks:
        remark = str(task.verdict) if task.error is None else f"failed: {task.error}"
        yield [f"{label}, {task.name}", *_cells(task.end_to_end), remark]
    for batch in subject.throughput:
        made = batch.error or f"{batch.crops_per_s:.1f} crops/s ({batch.crops} crops)"
        yield [f"{label}, offline, batch {batch.batch}", *["–"] * 6, made]
    for start in subject.starts:
        told = (
            f"open after {start.opened_ms:.0f} ms, first swap after {start.first_ms:.0f} ms, then "
            f"{start.steady_ms:.2f} ms a crop"
        )
        yield [f"{label}, cold start, {start.cache} cache", *["–"] * 6, told]


def ratios(report: Report) -> Iterator[str]:
    """How many times as long as the first, quality beside it."""
    if not report.ratios:
        return
    quality = {subject.label: stated_quality(subject.quality) for subject in report.subjects}
    rows = [
        [f"{r.subject}, {r.task}", f"{r.ratio:.3f}",
         f"{r.interval.low:.3f} to {r.interval.high:.3f}",
         "in turns" if r.paired else "apart", quality.get(r.subject, "")]
        for r in report.ratios
    ]  # fmt: skip
    names = ["times as long", "ratio", "95 % interval", "timed", "quality"]
    title = f"Compared with {report.ratios[0].base}"
    yield _section(title, _table(names, rows), wide=True)


def latency(report: Report) -> Iterator[str]:
    """A histogram for every task, subjects under one another."""
    names = dict.fromkeys(task.name for subject in report.subjects for task in subject.tasks)
    for name in names:
        rows = [
            (subject.label, task.end_to_end.samples_ms, _interval(task.end_to_end))
            for subject in report.subjects for task in subject.tasks
            if task.name == name and task.end_to_end is not None
        ]  # fmt: skip
        if rows:
            yield _section(f"Latency: {name}", charts.distributions(rows))


def stages(report: Report) -> Iterator[str]:
    """Where a swap's time goes, for every subject."""
    for subject in report.subjects:
        task = _main_task(subject.tasks)
        if task is not None and task.stages:
            medians = [(stage, timing.median) for stage, timing in task.stages.items()]
            yield _section(f"Stages: {subject.label}, {task.name}", charts.waterfall(medians))


def memory(report: Report) -> Iterator[str]:
    """Over time, and by what was opened."""
    points = [
        (moment.at_s, moment.rss_bytes / 1e6) for moment in report.conditions.moments
        if moment.rss_bytes is not None
    ]  # fmt: skip
    if len(points) >= 2:
        drawn = charts.timeline(points, "MB", "Resident memory while the runs went on")
        yield _section("Memory over time", drawn)
    for subject in report.subjects:
        if subject.memory is None:
            continue
        found = subject.memory
        steps = {name: size / 1e6 for name, size in found.steps.items() if size >= 5e4}
        share = 100 * found.sum_bytes / max(found.swapper_bytes, 1)
        sizes = f"{found.swapper_bytes / 1e6:.0f} MB, peak {found.peak_bytes / 1e6:.0f} MB"
        told = f"a process that swaps: {sizes}; the steps add up to {share:.0f} %"
        told = f'<p class="soft">{told}</p>'
        drawn = charts.bars(steps, "MB", "Memory by step")
        yield _section(f"Memory: {subject.label}", drawn + told)


def roofline(report: Report) -> Iterator[str]:
    """Graphs under the measured ceilings, their blocks, and what to try."""
    if not report.explanations:
        return
    found = report.explanations
    peak = found[0]["ceilings"]["macs_per_s"] / 1e9
    bandwidth = found[0]["ceilings"]["cached_bytes_per_s"] / 1e9
    points = [
        (one["graph"], max(one["intensity"], 1e-3), one["macs"] / one["measured_ms"] / 1e6)
        for one in found
        if one["macs"]
    ]
    if points:
        edge = peak / bandwidth
        left = min([edge / 8, *(x / 2 for _, x, _ in points)])
        roof = [(left, left * bandwidth), (edge, peak), (max(edge * 8, points[0][1] * 2), peak)]
        drawn = charts.scatter(points, "MAC per byte", "GMAC/s", roof, logarithmic=True)
        memory = found[0]["ceilings"]["memory_bytes_per_s"] / 1e9
        told = f"bytes from the caches, {bandwidth:.0f} GB/s; from memory {memory:.0f} GB/s"
        told = f'<p class="soft">{told}</p>'
        yield _section("Roofline, as measured here", drawn + told)
    for one in found:
        blocks = {
            block["name"]: block["milliseconds"] for block in one["blocks"]
            if block["milliseconds"] > 0
        }  # fmt: skip
        tips = "".join(f"<li>{_safe(tip)}</li>" for tip in one["advice"])
        told = f"<p>Limit: {_safe(one['limit'])}</p><ul>{tips}</ul>"
        drawn = charts.bars(blocks, "ms", f"Time by block of {one['graph']}")
        opened = f"<details><summary>Blocks</summary>{drawn}</details>"
        yield _section(f"Graph: {one['graph']}", told + opened)


def quality(report: Report) -> Iterator[str]:
    """Quality against latency, and what nothing beats."""
    for name in _QUALITIES:
        points = []
        for subject in report.subjects:
            task, value = _main_task(subject.tasks), subject.quality.get(name)
            if task is not None and task.end_to_end is not None and isinstance(value, int | float):
                points.append((subject.label, task.end_to_end.median, float(value)))
        if points:
            front = charts.pareto(points)
            drawn = charts.scatter(points, "ms", name, front, step=True)
            yield _section("Quality against latency; the line is what nothing beats", drawn)
            return


def estimates(report: Report) -> Iterator[str]:
    """Other devices: estimates, and called so."""
    if not report.estimates:
        return
    rows = [
        [one["name"], f"about {one['swap_ms']:.2f}", one["precision"],
         f"{100 * one['multiply_share']:.0f} %", "; ".join(one["sources"])]
        for one in report.estimates
    ]  # fmt: skip
    names = ["device", "ms, a crop", "precision", "multiplying", "published ceilings"]
    told = '<p class="soft">From the graph and published ceilings; nothing was run there.</p>'
    yield _section("Estimates, not measurements", told + _table(names, rows), wide=True)


def _main_task(tasks: Sequence[TaskResult]) -> TaskResult | None:
    """The one to draw: the first picture, else the crop."""
    for name in ("picture", "crop", "unet"):
        for task in tasks:
            if task.task == name and task.end_to_end is not None:
                return task
    return None


def _interval(timing: Timing) -> tuple[float, float] | None:
    found = timing.p50_interval
    return None if found is None else (found.low, found.high)


def _cells(timing: Timing | None) -> list[str]:
    if timing is None:
        return ["–"] * 6
    found = timing.p50_interval
    interval = "–" if found is None else f"{found.low:.2f} to {found.high:.2f}"
    parts = [timing.p90, timing.p99, timing.max]
    slow = ["–" if value is None else f"{value:.2f}" for value in parts]
    return [shown_median(timing), interval, *slow, str(timing.n)]


def _cell(name: str, value: Any) -> str:
    """A cell that, on a phone, stands under the others with its column's name beside it."""
    kinds = ["words"] if name in _WORDS else []
    kinds += ["none"] if value in ("–", "") else []
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    return f'<td{kind} data-name="{_safe(name)}">{_safe(str(value))}</td>'


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table."""
    top = "".join(
        f'<th scope="col"{_WORDY if name in _WORDS else ""}>{_safe(name)}</th>' for name in names
    )
    body = "".join(
        f"<tr>{''.join(_cell(*pair) for pair in zip(names, row, strict=True))}</tr>" for row in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table"><table><thead><tr>'
        f"{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _section(title: str, body: str, *, wide: bool = False) -> str:
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{_safe(title)}</h2>{body}</section>"


def _safe(words: str) -> str:
    return html.escape(words, quote=True)
