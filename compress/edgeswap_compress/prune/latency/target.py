"""Plan for a latency target: predict from the table, then measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from edgeswap_compress._pruning_errors import TooNoisy, UnreachableTarget
from edgeswap_compress.conditioning.attention import with_adapter_tokens
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.fit.config import changed
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune.config import PruneConfig
from edgeswap_compress.prune.latency.sessions import open_session
from edgeswap_compress.prune.latency.timing import fast_ms
from edgeswap_compress.prune.search.choice import PlanInputs, build_plan
from edgeswap_compress.prune.search.replay import Earlier, pruned_copy
from edgeswap_compress.prune.search.widths import TOLERANCE
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze_again
from edgeswap_runtime.timing import interleave

TRIES = 6
_CLOSE = 0.015  # of the asked ratio: no further try
RUNS = 60
MOST_S = 20.0  # of timing one plan
MOST_SEARCH_S = 180.0  # of making and timing all plans: no further try is begun afterwards


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRatio:
    """A latency after / before, and how well it is known.

    Attributes:
        ratio: after / before.
        noise: how far apart the ratios of every other round are, relative: 0 on a still machine.
        rounds: that were timed.
    """

    ratio: float
    noise: float = 0.0
    rounds: int = RUNS

    @classmethod
    def of(cls, before_ms: Sequence[float], after_ms: Sequence[float]) -> MeasuredRatio:
        """Compare times taken in turns, two rounds at least; milliseconds."""
        even, odd = (fast_ms(after_ms[i::2]) / fast_ms(before_ms[i::2]) for i in (0, 1))
        return cls(
            ratio=fast_ms(after_ms) / fast_ms(before_ms),
            noise=abs(even / odd - 1),
            rounds=len(before_ms),
        )


RatioTimer = Callable[[Any, Any], MeasuredRatio]
"""(whole, pruned) U-Nets -> latency after / before."""


def seeded_inputs(unet: Any, tokens: int) -> dict[str, Any]:
    """Draw the keyword arguments of one evaluation on the CPU, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        given = example_inputs(unet.config, tokens=tokens, device="cpu")
        return with_adapter_tokens(unet, given)


def latency_ratio(whole: Any, pruned: Any, *, tokens: int, runs: int = RUNS) -> MeasuredRatio:
    """Time two U-Nets on ONNX Runtime, in turns, for at most 20 seconds.

    Tenth percentiles, because other work on the machine interrupts long evaluations more often
    than short ones; where nothing does, they are as far apart as the medians.

    Args:
        whole: the U-Net before pruning, float32, on the CPU.
        pruned: the U-Net after pruning, likewise.
        tokens: length of the cross-attention sequence.
        runs: timed evaluations of each, at most.
    """
    inputs = seeded_inputs(whole, tokens)
    sessions = {
        name: open_session(unet, kwargs=inputs)
        for name, unet in (("before", whole), ("after", pruned))
    }
    times_ms = interleave(sessions, runs, most_s=MOST_S)
    return MeasuredRatio.of(times_ms["before"].tolist(), times_ms["after"].tolist())


def build_measured_plan(
    unet: Any,
    config: PruneConfig,
    structure: PrunableStructure,
    *,
    inputs: PlanInputs,
    earlier: Earlier | None = None,
    timer: RatioTimer | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> PruningPlan:
    """Make a plan for a latency ratio, and time its U-Net until it meets the ratio.

    The table adds up blocks that were timed alone, which is a few hundredths off the whole. So the
    proposed U-Net is timed beside the original, and the table is asked for a ratio corrected by
    what was found, at most six times and for at most three minutes, in the depth and allocation
    that won at first.

    Args:
        unet: as for `build_plan`.
        config: as for `build_plan`; with a `latency_ratio`.
        structure: of the U-Net in its original shape.
        inputs: as for `build_plan`; with a table of latencies.
        earlier: as for `build_plan`.
        timer: replaces the measuring, for tests.
        clock: seconds; replaces the machine's, for tests.

    Returns:
        The plan nearest to the ratio; its stats say what was measured, and how noisy that was.

    Raises:
        UnreachableTarget: no try came within 5 % of the ratio.
        TooNoisy: the nearest was measured on a machine too busy to tell.
    """
    whole = unet if earlier is None else earlier.original
    measure = timer or (lambda a, b: latency_ratio(a, b, tokens=inputs.tokens))
    wanted = asked = config.target.ratio
    tried: list[tuple[MeasuredRatio, PruningPlan]] = []
    begun = clock()
    while len(tried) < TRIES and not (tried and clock() - begun > MOST_SEARCH_S):
        step = changed(config, {"target.latency_ratio": asked})
        try:
            plan = build_plan(unet, step, structure, inputs=inputs, earlier=earlier)
        except UnreachableTarget:
            if not tried:
                raise
            break
        found = measure(whole, pruned_copy(unet, plan, earlier))
        tried.append((found, _noted(plan, found)))
        if abs(found.ratio / wanted - 1) <= max(_CLOSE, found.noise):
            break  # no further try could be told from this one
        asked = min(0.99, max(0.01, asked * wanted / found.ratio))
        if earlier is None:  # its depth and allocation have won; only widths are corrected
            gone, kept = plan.dropped, config.choice.protect
            structure = analyze_again(
                unet, structure, tokens=inputs.tokens, dropped=gone, protect=kept
            )
        config = _settled(config, plan)
    return _nearest(tried, wanted)


def _noted(plan: PruningPlan, found: MeasuredRatio) -> PruningPlan:
    """The plan, with what was measured in its stats."""
    if plan.stats is None:
        return plan
    stats = replace(plan.stats, latency_ratio=found.ratio, latency_noise=found.noise)
    return replace(plan, stats=stats)


def _nearest(tried: Sequence[tuple[MeasuredRatio, PruningPlan]], wanted: float) -> PruningPlan:
    """The plan nearest to the wanted ratio, where it is near enough and well enough known."""
    found, plan = min(tried, key=lambda entry: abs(entry[0].ratio - wanted))
    if found.noise > TOLERANCE:
        raise TooNoisy(wanted, found.ratio, noise=found.noise, rounds=found.rounds)
    if abs(found.ratio / wanted - 1) > TOLERANCE:
        raise UnreachableTarget(
            f"a latency ratio of {wanted:g} was not met: the nearest of {len(tried)} plans "
            f"measured {found.ratio:.3f}; ask for another --latency-ratio, a smaller --round-to, "
            "or try again on a machine that does nothing else"
        )
    return plan


def _settled(config: PruneConfig, plan: PruningPlan) -> PruneConfig:
    """A config that leaves only the widths of a plan open."""
    allocation: Any = (
        "share" if plan.stats is None or plan.stats.allocation is None else plan.stats.allocation
    )
    return changed(config, {"choice.mode": "width", "choice.allocation": allocation})
