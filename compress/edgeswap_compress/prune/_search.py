"""How wide every channel set becomes, so that the whole U-Net costs what was asked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from edgeswap_compress.prune._costs import CostModel, Integers
from edgeswap_compress.prune._errors import UnreachableTarget
from edgeswap_compress.prune._sets import ChannelSet, Scores

TOLERANCE = 0.05  # of the asked ratio: a plan further off is refused
_GOOD_ENOUGH = 0.01  # of the asked ratio: norms give up their groups only if they must for this
_AIM = 0.002  # of the asked ratio: fine adjustment stops here


def search_widths(
    sets: Sequence[ChannelSet],
    scores: Mapping[str, Scores],
    costs: CostModel,
    *,
    macs_ratio: float,
    round_to: int,
) -> tuple[int, ...]:
    """Widths at which the U-Net keeps `macs_ratio` of its MACs.

    Every set loses about the same share of its importance. Widths at which every GroupNorm keeps
    its number of groups come first; others are used only where those miss the target by more
    than a hundredth.

    Args:
        sets: from `trace`.
        scores: importance of each channel, by the set's name.
        costs: of the same sets.
        macs_ratio: in (0, 1), MACs after / MACs before.
        round_to: widths are multiples of it.

    Returns:
        One width for each set.

    Raises:
        UnreachableTarget: nothing within 5 % of the target; the message says what is reachable.
    """
    whole = int(costs.macs(costs.sizes))
    target = macs_ratio * whole
    best, found, least = costs.sizes, whole, whole
    for keep_groups in (True, False):
        options = [chosen.widths(round_to=round_to, keep_groups=keep_groups) for chosen in sets]
        widths = _approach(sets, scores, costs, options, target)
        if abs(costs.macs(widths) - target) < abs(found - target):
            best, found = widths, int(costs.macs(widths))
        if abs(found / target - 1) <= _GOOD_ENOUGH:
            break
        least = min(least, int(costs.macs([choices[-1] for choices in options])))
    if abs(found / target - 1) > TOLERANCE:
        raise UnreachableTarget(
            f"a MACs ratio of {macs_ratio:g} cannot be reached with widths that are multiples of "
            f"{round_to}: the nearest is {found / whole:.3f} and the least {least / whole:.3f}; "
            "ask for another --macs-ratio or a smaller --round-to"
        )
    return tuple(int(width) for width in best)


def _approach(
    sets: Sequence[ChannelSet],
    scores: Mapping[str, Scores],
    costs: CostModel,
    options: Sequence[tuple[int, ...]],
    target: float,
) -> Integers:
    """Takes the steps that cost the least importance until the target is met, then adjusts."""
    steps = sorted(
        (loss, position, choice)
        for position, chosen in enumerate(sets)
        for choice, loss in enumerate(
            # never falls as the set gets narrower, though its slices change
            accumulate(chosen.losses(scores[chosen.name], options[position]), max)
        )
        if choice > 0
    )

    def widths_after(count: int) -> Integers:
        widths = costs.sizes.copy()
        for _, position, choice in steps[:count]:
            widths[position] = options[position][choice]
        return widths

    count = bisect_left(range(len(steps)), -target, key=lambda n: -int(costs.macs(widths_after(n))))
    return _adjust(widths_after(count), costs, options, target)


def _adjust(
    widths: Integers, costs: CostModel, options: Sequence[tuple[int, ...]], target: float
) -> Integers:
    """Moves single sets by single steps as long as that brings the MACs nearer to the target."""
    error = abs(int(costs.macs(widths)) - target)
    while error > _AIM * target:
        moved = []
        for position, choices in enumerate(options):
            here = choices.index(int(widths[position]))
            for choice in choices[max(here - 1, 0) : here + 2]:
                neighbour = widths.copy()
                neighbour[position] = choice
                moved.append(neighbour)
        errors = np.abs(costs.macs(np.stack(moved)) - target)
        nearest = int(errors.argmin())
        if errors[nearest] >= error:
            break
        widths, error = moved[nearest], float(errors[nearest])
    return widths
