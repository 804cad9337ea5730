"""Judge a figure: settled, noisy, throttled, or from too few runs; and say why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_bench._statistics import runs_needed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgeswap_bench._statistics import Timing
    from edgeswap_bench.trust.watch import Conditions

SETTLED, NOISY, THROTTLED, FEW = "settled", "noisy", "throttled", "few"
SEVERITY = (SETTLED, FEW, NOISY, THROTTLED)
"""From good to bad."""

UNMET = 3
"""Exit code: everything was measured, and a condition that was asked for is not met."""

_WIDEST = 0.05
"""Half the width of p50's interval, and the most it may move within a run, as a share of p50."""
_FLOOR_MS = 0.02
"""Differences below this are the clock's and the scheduler's, not the thing's."""
_APART = 0.05
"""How far one process may lie from the median of all, as a share of it."""
_SLOWER_CLOCK = 0.93
_BUSY_CORES, _BUSY_SHARE = 0.1, 0.02
"""Others' processor time that is let pass: cores, or a share of the usable ones if that is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a figure is worth.

    Attributes:
        state: "settled", "few" (too few runs), "noisy" or "throttled".
        reasons: why, in words; empty when settled.
    """

    state: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return self.state if not self.reasons else f"{self.state}: {'; '.join(self.reasons)}"


def judge(timing: Timing, conditions: Conditions, *, settled: bool = True) -> Verdict:
    """Judge one figure by its own samples and by what the machine did meanwhile.

    Args:
        timing: the figure.
        conditions: from the same runs.
        settled: whether the warm-up ended with a steady figure.
    """
    machine = judge_machine(conditions)
    reasons = [*_own_noise(timing)]
    if not settled:
        reasons.append("the warm-up ended before the figure settled")
    if machine.state == THROTTLED:
        return Verdict(state=THROTTLED, reasons=(*machine.reasons, *reasons))
    if machine.state == NOISY or reasons:
        return Verdict(state=NOISY, reasons=(*machine.reasons, *reasons))
    if timing.p50 is None:
        needed = runs_needed(0.5)
        return Verdict(state=FEW, reasons=(f"{timing.n} runs, p50 needs {needed}",))
    return Verdict(state=SETTLED, reasons=())


def judge_machine(conditions: Conditions) -> Verdict:
    """Judge the machine alone: throttled, busy with other things, or fine."""
    slowed = _throttling(conditions)
    if slowed:
        return Verdict(state=THROTTLED, reasons=tuple(slowed))
    reasons = []
    allowed = max(_BUSY_CORES, _BUSY_SHARE * conditions.usable_cores)
    if conditions.others_cores is not None and conditions.others_cores > allowed:
        reasons.append(f"other processes kept {conditions.others_cores:.2f} cores busy")
    if conditions.stolen_cores is not None and conditions.stolen_cores > allowed:
        reasons.append(f"the hypervisor took {conditions.stolen_cores:.2f} cores away")
    return Verdict(state=NOISY if reasons else SETTLED, reasons=tuple(reasons))


def with_processes(verdict: Verdict, medians_ms: Sequence[float]) -> Verdict:
    """Judge a figure again by how far apart fresh processes are.

    Args:
        verdict: of the figure, by its own process.
        medians_ms: what each process takes for the same work; fewer than two say nothing.
    """
    if len(medians_ms) < 2:
        return verdict
    middle = float(np.median(medians_ms))
    apart = max(abs(value - middle) for value in medians_ms)
    if apart <= max(_APART * middle, _FLOOR_MS):
        return verdict
    reason = f"a fresh process lies {100 * apart / middle:.0f} % from the others' median"
    processes = Verdict(state=NOISY, reasons=(reason,))
    found = worst((verdict, processes))
    return Verdict(state=found.state, reasons=(*verdict.reasons, reason))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Pick the worst of several verdicts; a report is worth what its worst headline is."""
    found = sorted(verdicts, key=lambda verdict: SEVERITY.index(verdict.state))
    return found[-1] if found else Verdict(state=FEW, reasons=("nothing could be timed",))


def _own_noise(timing: Timing) -> list[str]:
    """What the samples say of themselves: a wide interval, or a median that moves."""
    reasons = []
    found = timing.p50_interval
    if found is not None:
        half = (found.high - found.low) / 2
        if half > max(_WIDEST * timing.median, _FLOOR_MS):
            reasons.append(f"p50 is known to ±{100 * half / timing.median:.0f} % only")
    if timing.n >= 15:
        thirds = [np.median(part) for part in np.array_split(timing.samples_ms, 3)]
        moved = float(max(thirds) - min(thirds))
        if moved > max(_WIDEST * timing.median, _FLOOR_MS):
            reasons.append(f"p50 moved by {100 * moved / timing.median:.0f} % during the run")
    return reasons


def _throttling(conditions: Conditions) -> list[str]:
    before, after = conditions.before, conditions.after
    reasons = []
    for name, words in (
        ("throttle_events", "the processor slowed down for heat {} times"),
        ("quota_events", "the container's processor quota held it up {} times"),
    ):
        start, end = getattr(before, name), getattr(after, name)
        if start is not None and end is not None and end > start:
            reasons.append(words.format(end - start))
    for who, name in (("processor", "clock_mhz"), ("GPU", "gpu_clock_mhz")):
        clocks = [
            getattr(moment, name) for moment in conditions.moments
            if getattr(moment, name) is not None
        ]  # fmt: skip
        if len(clocks) >= 6:
            first, *_, last = (np.median(part) for part in np.array_split(clocks, 3))
            if last < _SLOWER_CLOCK * first:
                reasons.append(f"the {who}'s clock fell from {first:.0f} to {last:.0f} MHz")
    if after.gpu is not None and after.gpu.slow_reasons:
        reasons.append(f"the GPU is held back: {', '.join(after.gpu.slow_reasons)}")
    return reasons
