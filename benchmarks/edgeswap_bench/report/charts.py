"""Draw small charts as SVG: text in the page's own font and colors, 360 units wide."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDTH = 360
_ROW = 20
_COLORS = 7
"""Classes c0 … c6 of the page's style."""


def distributions(rows: Sequence[tuple[str, Sequence[float], tuple[float, float] | None]]) -> str:
    """Draw how often a run took how long: one histogram a row, on one axis.

    Args:
        rows: (label, milliseconds of each run, 95 % interval of the median or None).
    """
    every = np.concatenate([np.asarray(values, float) for _, values, _ in rows])
    low, high = float(every.min()), float(np.percentile(every, 99.5))
    high = max(high, low * 1.01 + 1e-6)
    tall, parts = 46, []
    for at, (label, values, interval) in enumerate(rows):
        top = at * (tall + 16)
        counts, edges = np.histogram(np.clip(values, low, high), bins=40, range=(low, high))
        parts.append(_text(0, top + 11, label))
        parts.append(_text(WIDTH, top + 11, f"{np.median(values):.2f} ms", end=True))
        for count, left, right in zip(counts, edges, edges[1:], strict=False):
            height = (tall - 16) * count / max(counts.max(), 1)
            x, width = _at(left, low, high), _at(right, low, high) - _at(left, low, high)
            if count:
                parts.append(_rect(x, top + tall - height, width, height, f"c{at % _COLORS}"))
        if interval is not None:
            x = _at(interval[0], low, high)
            wide = max(_at(interval[1], low, high) - x, 1.5)
            parts.append(_rect(x, top + tall + 1, wide, 3, "ink"))
    bottom = len(rows) * (tall + 16)
    axis = _axis(low, high, bottom, "ms; the bar below is the median's 95 % interval")
    return _svg(bottom + 30, "How long each run took", [*parts, axis])


def waterfall(stages: Sequence[tuple[str, float]]) -> str:
    """Draw stages one after the other.

    Args:
        stages: (name, milliseconds), in order.
    """
    total, begun = sum(spent for _, spent in stages), 0.0
    parts = []
    for at, (name, spent) in enumerate(stages):
        top = at * _ROW
        x, width = 84 + 170 * begun / total, max(170 * spent / total, 1.0)
        told = f"{spent:.2f} ms, {100 * spent / total:.0f} %"
        parts.append(_text(0, top + 14, name))
        parts.append(_rect(x, top + 3, width, 14, f"c{at % _COLORS}"))
        parts.append(_text(WIDTH, top + 14, told, end=True))
        begun += spent
    return _svg(len(stages) * _ROW + 4, "Stages of a swap, one after the other", parts)


def bars(values: Mapping[str, float], unit: str, title: str) -> str:
    """Draw one bar a name.

    Args:
        values: name -> value, in `unit`.
        unit: written after each value.
        title: what the chart shows, for readers who cannot see it.
    """
    most = max(values.values(), default=1.0) or 1.0
    parts = []
    for at, (name, value) in enumerate(values.items()):
        top = at * (2 * _ROW - 8)
        parts += [_text(0, top + 11, name), _text(WIDTH, top + 11, f"{value:.2f} {unit}", end=True),
                  _rect(0, top + 16, max(WIDTH * value / most, 0.5), 7, "c0")]  # fmt: skip
    return _svg(len(values) * (2 * _ROW - 8) + 2, title, parts)


def timeline(points: Sequence[tuple[float, float]], unit: str, title: str) -> str:
    """Draw a value over time.

    Args:
        points: (seconds, value), in order; at least 2.
        unit: of the value.
        title: what the chart shows.
    """
    end, most = points[-1][0], max(value for _, value in points) * 1.1 or 1.0
    place = [
        (40 + (WIDTH - 44) * second / max(end, 1e-9), 110 - 100 * value / most)
        for second, value in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in place)
    parts = [
        f'<polyline class="line" points="{line}"/>',
        _text(0, 16, f"{most:.0f}"), _text(0, 30, unit), _text(0, 112, "0"),
        _text(40, 128, "0 s"), _text(WIDTH, 128, f"{end:.1f} s", end=True),
        '<path class="axis" d="M40 8V110H356"/>',
    ]  # fmt: skip
    return _svg(134, title, parts)


def scatter(
    points: Sequence[tuple[str, float, float]], x_label: str, y_label: str,
    curve: Iterable[tuple[float, float]] = (), *, logarithmic: bool = False,
    step: bool = False,
) -> str:  # fmt: skip
    """Draw named points, and a line: a roofline, or a Pareto front.

    Args:
        points: (name, x, y); numbered in the chart, named below it.
        x_label: what x is, with its unit.
        y_label: what y is, with its unit.
        curve: points of the line, in order.
        logarithmic: both axes.
        step: the line runs level, then up.
    """
    line = list(curve)
    scale = math.log10 if logarithmic else float
    xs = [scale(x) for _, x, _ in points] + [scale(x) for x, _ in line]
    ys = [scale(y) for _, _, y in points] + [scale(y) for _, y in line]
    (x_low, x_high), (y_low, y_high) = _padded(xs), _padded(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (scale(x) - x_low) / (x_high - x_low)
        up = (scale(y) - y_low) / (y_high - y_low)
        return 50 + 300 * across, 190 - 170 * up

    parts = ['<path class="axis" d="M50 14V190H354"/>', _text(0, 11, y_label),
             _text(WIDTH, 222, x_label, end=True)]  # fmt: skip
    parts += _ticks(x_low, x_high, y_low, y_high, logarithmic)
    drawn = [place(x, y) for x, y in line]
    if drawn:
        path = f"M{drawn[0][0]:.1f} {drawn[0][1]:.1f}" + "".join(
            (f"H{x:.1f}V{y:.1f}" if step else f"L{x:.1f} {y:.1f}") for x, y in drawn[1:]
        )
        parts.append(f'<path class="line" d="{path}"/>')
    for at, (name, x, y) in enumerate(points):
        cx, cy = place(x, y)
        parts.append(
            f'<g><title>{_safe(name)}</title><circle class="c{at % _COLORS}" cx="{cx:.1f}" '
            f'cy="{cy:.1f}" r="5"/>{_text(cx + 8, cy + 4, str(at + 1))}</g>'
        )
    names = [_text(0, 244 + 16 * at, f"{at + 1}  {name}") for at, (name, _, _) in enumerate(points)]
    return _svg(244 + 16 * len(points), f"{y_label} against {x_label}", [*parts, *names])


def pareto(points: Sequence[tuple[str, float, float]]) -> list[tuple[float, float]]:
    """Pick the points that nothing beats: less on x and more on y is better.

    Returns:
        (x, y), by x.
    """
    front: list[tuple[float, float]] = []
    for _, x, y in sorted(points, key=lambda point: (point[1], -point[2])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def _ticks(
    x_low: float, x_high: float, y_low: float, y_high: float, logarithmic: bool
) -> list[str]:
    def word(value: float) -> str:
        return f"{10**value if logarithmic else value:.3g}"

    return [
        _text(50, 206, word(x_low)),
        _text(354, 206, word(x_high), end=True),
        _text(46, 190, word(y_low), end=True),
        _text(46, 26, word(y_high), end=True),
    ]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _at(value: float, low: float, high: float) -> float:
    return WIDTH * (value - low) / (high - low)


def _axis(low: float, high: float, top: float, unit: str) -> str:
    return (
        f'<path class="axis" d="M0 {top - 8}H{WIDTH}"/>'
        + _text(0, top + 6, f"{low:.2f}")
        + _text(WIDTH, top + 6, f"{high:.2f}", end=True)
        + _text(WIDTH / 2, top + 22, unit, middle=True)
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )


def _text(x: float, y: float, words: str, *, end: bool = False, middle: bool = False) -> str:
    anchor = ' text-anchor="end"' if end else ' text-anchor="middle"' if middle else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{anchor}>{_safe(words)}</text>'


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{_safe(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _safe(words: str) -> str:
    return html.escape(words, quote=True)
