"""A report as text, rounded for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeswap_bench._statistics import Timing
    from edgeswap_bench.compare.reports import Comparison
    from edgeswap_bench.measure.results import Report, Start, SubjectResult, TaskResult

_WIDTH = 24


def table(report: Report) -> str:
    """Write a report as lines of text, milliseconds."""
    lines = [_machine(report), ""]
    for subject in report.subjects:
        lines += [*_subject(subject), ""]
    lines += [*_ratios(report), *_explanations(report), *_estimates(report)]
    if report.peak_rss_bytes is not None:
        lines.append(f"peak memory  {report.peak_rss_bytes / 1e6:.0f} MB of this process")
    lines += [*_conditions(report), f"verdict      {report.verdict}"]
    return "\n".join(lines)


def comparison_table(found: Comparison) -> str:
    """Write a comparison of two reports as lines of text."""
    lines = [f"{'':40}{'first':>9}{'second':>9}   times as long"]
    for change in found.changes:
        remark = "  SLOWER" if change.slower else "" if change.settled else "  not settled"
        lines.append(
            f"{change.subject + ', ' + change.figure:40}{change.first_ms:9.2f}"
            f"{change.second_ms:9.2f}   {change.ratio:.3f} "
            f"[{change.interval.low:.3f}, {change.interval.high:.3f}]{remark}"
        )
    lines += [f"in one report only: {name}" for name in found.missing]
    return "\n".join([*lines, *found.notes])


def _machine(report: Report) -> str:
    cpu = report.environment["cpu"]
    return f"{cpu['model']}, {cpu['usable_cores']} cores, {report.environment['system']}"


def _subject(subject: SubjectResult) -> Iterator[str]:
    settings, artifact = subject.settings, subject.artifact
    if subject.error is not None:
        yield f"{subject.label}: failed: {subject.error}"
        return
    told = [subject.label]
    if "total_bytes" in artifact:
        told.append(f"{artifact['total_bytes'] / 1e6:.1f} MB")
    if "schedule" in settings:
        told.append(f"schedule {settings['schedule']} ({settings['evaluations']} evaluations)")
    if "backend" in settings:
        precision = f" in {settings['precision']}" if settings.get("precision") else ""
        told.append(f"{settings['backend']} on {settings['device']}{precision}")
    yield ", ".join(told)
    yield f"{'':{_WIDTH}}{'p50':>9}  {'95 % interval':17}{'p90':>9}{'p99':>9}{'max':>9}{'n':>6}  ms"
    for task in subject.tasks:
        yield from _task(task)
    for batch in subject.throughput:
        name = f"offline, batch {batch.batch}"
        figure = batch.error or f"{batch.crops_per_s:.1f} crops/s ({batch.crops} crops)"
        yield f"{name:{_WIDTH}}{figure}"
    for cache in ("empty", "filled"):
        yield from _starts(cache, [start for start in subject.starts if start.cache == cache])
    if subject.memory is not None:
        memory = subject.memory
        parts = sorted(memory.steps.items(), key=lambda item: -item[1])[:4]
        listed = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in parts)
        share = 100 * memory.sum_bytes / memory.swapper_bytes
        yield f"{'memory':{_WIDTH}}{memory.swapper_bytes / 1e6:.0f} MB; steps add up to " + (
            f"{share:.0f} %: {listed}"
        )
    if subject.fresh_error is not None:
        yield f"{'cold start, memory':{_WIDTH}}failed: {subject.fresh_error}"
    yield f"{'quality':{_WIDTH}}{stated_quality(subject.quality)}"


def stated_quality(quality: dict[str, Any]) -> str:
    """Write the plain figures of a bundle's quality in one line."""
    stated = ", ".join(
        f"{key} {value}"
        for key, value in sorted(quality.items())
        if not isinstance(value, dict | list)
    )
    return stated or "not stated in the bundle"


def _task(task: TaskResult) -> Iterator[str]:
    if task.end_to_end is None:
        yield f"{task.name:{_WIDTH}}failed: {task.error}"
        return
    name = task.name if task.task != "identity" else "identity (per source)"
    yield _line(name, task.end_to_end, str(task.verdict))
    for stage, timing in task.stages.items():
        yield _line(f"  {stage}", timing, "")
    for graph, found in task.graphs.items():
        times = f" x {found.evaluations}" if found.evaluations > 1 else ""
        kind = "copy" if graph == "copies" else "graph"
        yield _line(f"  {kind} {graph}{times}" if kind == "graph" else f"  {graph}{times}",
                    found.per_run, "")  # fmt: skip


def shown_median(timing: Timing) -> str:
    """Write the median; in brackets where too few runs were made to bound it."""
    return f"({timing.median:.2f})" if timing.p50 is None else f"{timing.median:.2f}"


def _line(name: str, timing: Timing, verdict: str) -> str:
    interval = "-"
    if timing.p50_interval is not None:
        interval = f"[{timing.p50_interval.low:.2f}, {timing.p50_interval.high:.2f}]"
    figures = "".join(_cell(value) for value in (timing.p90, timing.p99, timing.max))
    line = (
        f"{name:{_WIDTH}}{shown_median(timing):>9}  {interval:17}{figures}{timing.n:6}  {verdict}"
    )
    return line.rstrip()


def _cell(value: float | None) -> str:
    return f"{'-':>9}" if value is None else f"{value:9.2f}"


def _starts(cache: str, starts: list[Start]) -> Iterator[str]:
    if not starts:
        return
    first = sorted(start.first_ms for start in starts)[len(starts) // 2]
    opened = sorted(start.opened_ms for start in starts)[len(starts) // 2]
    steady = [start.steady_ms for start in starts]
    name = f"cold start, {cache} cache"
    yield (f"{name:{_WIDTH}} {first:8.0f}  to the first swap, {opened:.0f} to the open bundle, "
           f"then {min(steady):.2f} to {max(steady):.2f} a crop "
           f"({len(starts)} fresh processes)")  # fmt: skip


def _ratios(report: Report) -> Iterator[str]:
    if not report.ratios:
        return
    base = report.ratios[0].base
    yield f"times as long as {base} (in turns, 95 % interval)"
    quality = {subject.label: stated_quality(subject.quality) for subject in report.subjects}
    for ratio in report.ratios:
        apart = "" if ratio.paired else "  measured apart"
        yield (f"{ratio.subject + ', ' + ratio.task:40}{ratio.ratio:7.3f} "
               f"[{ratio.interval.low:.3f}, {ratio.interval.high:.3f}]{apart}"
               f"  quality: {quality.get(ratio.subject, '')}")  # fmt: skip
    yield ""


def _explanations(report: Report) -> Iterator[str]:
    for one in report.explanations:
        ceilings = one["ceilings"]
        yield (
            f"{one['graph']}: {one['measured_ms']:.2f} ms, {one['macs'] / 1e6:.0f} million MACs, "
            f"{one['intensity']:.1f} MAC/byte; the ceilings ({ceilings['macs_per_s'] / 1e9:.0f} "
            f"GMAC/s, {ceilings['memory_bytes_per_s'] / 1e9:.0f} GB/s) allow "
            f"{one['ideal_ms']:.2f} ms"
        )
        kinds = ", ".join(f"{kind} {spent:.2f}" for kind, spent in one["kinds"].items())
        yield f"  kernels: {one['kernels_ms']:.2f} ms ({kinds})"
        slow = sorted(one["blocks"], key=lambda block: -block["milliseconds"])[:4]
        listed = ", ".join(f"{block['name']} {block['milliseconds']:.2f}" for block in slow)
        yield f"  blocks:  {listed}"
        yield f"  limit:   {one['limit']}"
        yield from (f"  try:     {advice}" for advice in one["advice"])
    if report.explanations:
        yield ""


def _estimates(report: Report) -> Iterator[str]:
    if not report.estimates:
        return
    yield "estimates, not measured: a swap of an aligned crop of a known source"
    for one in report.estimates:
        yield (
            f"{one['name']:{_WIDTH + 10}}about {one['swap_ms']:.2f} ms in {one['precision']} "
            f"({'; '.join(one['sources'])})"
        )
    yield ""


def _conditions(report: Report) -> Iterator[str]:
    found = report.conditions
    told = [f"{found.seconds:.1f} s"]
    if found.others_cores is not None:
        told.append(f"other processes {found.others_cores:.2f} of {found.usable_cores} cores")
    if found.stolen_cores:
        told.append(f"hypervisor {found.stolen_cores:.2f}")
    if found.after.clock_mhz is not None:
        told.append(f"{found.after.clock_mhz:.0f} MHz")
    if found.after.temperature_c is not None:
        told.append(f"{found.after.temperature_c:.0f} °C")
    if found.energy_j is not None:
        told.append(f"{found.energy_j:.0f} J ({found.energy_source})")
    yield f"conditions   {', '.join(told)}"
