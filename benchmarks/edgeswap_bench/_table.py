"""A report as text, rounded for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeswap_bench._statistics import Timing
    from edgeswap_bench.measure import Report


def table(report: Report) -> str:
    """The report as lines of text, milliseconds."""
    settings, cpu = report.settings, report.environment["cpu"]
    lines = [
        f"{report.bundle['name']}, {report.bundle['total_bytes'] / 1e6:.1f} MB, schedule "
        f"{settings['schedule']} ({settings['evaluations']} evaluations), "
        f"{settings.get('backend', '?')} on {settings.get('device', '?')}",
        f"{cpu['model']}, {cpu['usable_cores']} cores, {report.environment['system']}",
        "",
        f"{'':22}{'p50':>9}{'p90':>9}{'p99':>9}{'n':>6}   ms",
    ]
    lines.append(_line("identity (per source)", report.identity))
    for size in report.sizes:
        name = f"{size.height_px} x {size.width_px}"
        if size.end_to_end is None:
            lines.append(f"{name:22}failed: {size.error}")
            continue
        lines.append(name)
        lines += [_line(f"  {stage}", timing) for stage, timing in size.stages.items()]
        lines.append(_line("  end to end", size.end_to_end))
    lines.append("")
    if report.peak_rss_bytes is not None:
        lines.append(f"peak memory {report.peak_rss_bytes / 1e6:.0f} MB")
    quality = report.bundle["quality"]
    stated = ", ".join(
        f"{key} {value}"
        for key, value in sorted(quality.items())
        if not isinstance(value, dict | list)
    )
    lines.append(f"quality     {stated or 'not stated in the bundle'}")
    return "\n".join(lines)


def _line(name: str, timing: Timing) -> str:
    return f"{name:22}{timing.p50:9.2f}{timing.p90:9.2f}{timing.p99:9.2f}{timing.n:6}"
