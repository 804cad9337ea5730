"""How wide every channel set becomes, so that the whole U-Net costs what was asked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

from edgeswap_compress.prune._costs import CostModel
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
    whole = costs.macs([chosen.size for chosen in sets])
    target = macs_ratio * whole
    best: tuple[int, ...] = tuple(chosen.size for chosen in sets)
    reach = 1.0
    for keep_groups in (True, False):
        options = [chosen.widths(round_to=round_to, keep_groups=keep_groups) for chosen in sets]
        widths = _approach(sets, scores, costs, options, target)
        if abs(costs.macs(widths) - target) < abs(costs.macs(best) - target):
            best = widths
        if abs(costs.macs(best) / target - 1) <= _GOOD_ENOUGH:
            return best
        reach = min(reach, costs.macs([choices[-1] for choices in options]) / whole)
    if abs(costs.macs(best) / target - 1) > TOLERANCE:
        raise UnreachableTarget(
            f"a MACs ratio of {macs_ratio:g} cannot be reached with widths that are multiples of "
            f"{round_to}: the nearest is {costs.macs(best) / whole:.3f} and the least "
            f"{reach:.3f}; ask for another --macs-ratio or a smaller --round-to"
        )
    return best


def _approach(
    sets: Sequence[ChannelSet],
    scores: Mapping[str, Scores],
    costs: CostModel,
    options: Sequence[tuple[int, ...]],
    target: float,
) -> tuple[int, ...]:
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

    def choices_after(count: int) -> list[int]:
        choices = [0] * len(sets)
        for _, position, choice in steps[:count]:
            choices[position] = choice
        return choices

    def macs_of(choices: Sequence[int]) -> int:
        return costs.macs([options[i][choice] for i, choice in enumerate(choices)])

    count = bisect_left(range(len(steps)), -target, key=lambda n: -macs_of(choices_after(n)))
    choices = choices_after(count)
    error = abs(macs_of(choices) - target)
    while error > _AIM * target:
        moves = [
            (abs(macs_of(changed) - target), changed)
            for position in range(len(sets))
            for delta in (-1, 1)
            if (changed := _moved(choices, position, delta, len(options[position]))) is not None
        ]
        nearest, changed = min(moves, default=(error, choices))
        if nearest >= error:
            break
        error, choices = nearest, changed
    return tuple(options[i][choice] for i, choice in enumerate(choices))


def _moved(choices: list[int], position: int, delta: int, limit: int) -> list[int] | None:
    choice = choices[position] + delta
    if not 0 <= choice < limit:
        return None
    return [*choices[:position], choice, *choices[position + 1 :]]
