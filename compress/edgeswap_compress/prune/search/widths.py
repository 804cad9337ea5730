"""How wide every channel set becomes, so that the whole U-Net costs what was asked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeswap_compress._pruning_errors import UnreachableTarget
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup, Scores
from edgeswap_compress.prune.structure.costs import Integers

TOLERANCE = 0.05  # of the asked ratio: a plan further off is refused
_GOOD_ENOUGH = 0.01  # of the asked ratio: norms give up their groups only if they must for this
_AIM = 0.002  # of the asked ratio: fine adjustment stops here

Cost: TypeAlias = Callable[[ArrayLike], NDArray[Any]]
"""(...) from the width of each set, (..., sets)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostTarget:
    """What a search is for.

    Args:
        cost: of the U-Net, falling with every width.
        whole: cost of the U-Net in its original shape.
        ratio: to reach.
        what: the name of the cost in messages.
        option: the command line's name of the ratio.
    """

    cost: Cost
    whole: float
    ratio: float
    what: str
    option: str


def search_widths(
    sets: Sequence[ChannelGroup],
    scores: Mapping[str, Scores],
    goal: CostTarget,
    *,
    allocation: str,
    round_to: int,
    at_most: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Widths at which the U-Net costs `goal.ratio` of what it did.

    Widths at which every GroupNorm keeps its number of groups come first; others are used only
    where those miss the target by more than a hundredth.

    Args:
        sets: from `trace`.
        scores: importance of each channel, by the set's name.
        goal: with a cost of the same sets.
        allocation: "share", "uniform" or "global", see `PruneConfig`.
        round_to: widths are multiples of it.
        at_most: widths that have been reached already; the sizes of the sets when None.

    Returns:
        One width for each set.

    Raises:
        UnreachableTarget: nothing within 5 % of the target; the message says what is reachable.
    """
    sizes = np.array(at_most or [chosen.size for chosen in sets], dtype=np.int64)
    target = goal.ratio * goal.whole
    best, found = sizes, float(goal.cost(sizes))
    least = found
    for keep_groups in (True, False):
        options = [
            (int(most), *(width for width in widths if width < most))
            for chosen, most in zip(sets, sizes, strict=True)
            for widths in (chosen.widths(round_to=round_to, keep_groups=keep_groups),)
        ]
        widths = _approach(_steps(sets, scores, options, goal, allocation), options, goal, target)
        if abs(float(goal.cost(widths)) - target) < abs(found - target):
            best, found = widths, float(goal.cost(widths))
        if abs(found / target - 1) <= _GOOD_ENOUGH:
            break
        least = min(least, float(goal.cost([choices[-1] for choices in options])))
    if abs(found / target - 1) > TOLERANCE:
        raise UnreachableTarget(
            f"a {goal.what} ratio of {goal.ratio:g} cannot be reached with widths that are "
            f"multiples of {round_to}: the nearest is {found / goal.whole:.3f} and the least "
            f"{least / goal.whole:.3f}; ask for another {goal.option} or a smaller --round-to"
        )
    return tuple(int(width) for width in best)


Step: TypeAlias = tuple[float, int, int]
"""(price, position of the set, position of its new width among the options)"""


def _steps(
    sets: Sequence[ChannelGroup],
    scores: Mapping[str, Scores],
    options: Sequence[tuple[int, ...]],
    goal: CostTarget,
    allocation: str,
) -> list[Step]:
    """Every narrowing of every set by one option, the cheapest first.

    A step's price is the share that the set has lost by then, or, for "global", the importance
    it loses over the cost it saves while all else is whole (the Lagrangian of the two). A price
    never falls as the set gets narrower, so each set's steps stay in order.
    """
    steps = []
    for position, (chosen, widths) in enumerate(zip(sets, options, strict=True)):
        values = np.ones(chosen.size) if allocation == "uniform" else scores[chosen.name]
        prices = chosen.losses(values, widths)
        if allocation == "global":
            prices = [
                loss / max(saved, 1e-9 * goal.whole)
                for loss, saved in zip(
                    np.diff(np.array(prices) * values.sum(), prepend=0.0),
                    _saved(position, widths, sets, goal),
                    strict=True,
                )
            ]
        steps += [
            (price, position, choice)
            for choice, price in enumerate(accumulate(prices, max))
            if choice > 0
        ]
    return sorted(steps)


def _saved(
    position: int, widths: Sequence[int], sets: Sequence[ChannelGroup], goal: CostTarget
) -> NDArray[Any]:
    """What each width of one set saves on the one before, all other sets whole."""
    table = np.tile(np.array([chosen.size for chosen in sets], dtype=np.int64), (len(widths), 1))
    table[:, position] = widths
    saved: NDArray[Any] = -np.diff(goal.cost(table), prepend=goal.cost(table[0]))
    return saved


def _approach(
    steps: Sequence[Step], options: Sequence[tuple[int, ...]], goal: CostTarget, target: float
) -> Integers:
    """Takes the cheapest steps until the target is met, then adjusts."""

    def widths_after(count: int) -> Integers:
        widths = np.array([choices[0] for choices in options], dtype=np.int64)
        for _, position, choice in steps[:count]:
            widths[position] = options[position][choice]
        return widths

    def saving(count: int) -> float:
        return -float(goal.cost(widths_after(count)))

    count = bisect_left(range(len(steps)), -target, key=saving)
    return _adjust(widths_after(count), goal, options, target)


def _adjust(
    widths: Integers, goal: CostTarget, options: Sequence[tuple[int, ...]], target: float
) -> Integers:
    """Moves single sets by single steps as long as that brings the cost nearer to the target."""
    error = abs(float(goal.cost(widths)) - target)
    while error > _AIM * target:
        moved = []
        for position, choices in enumerate(options):
            here = choices.index(int(widths[position]))
            for choice in choices[max(here - 1, 0) : here + 2]:
                neighbor = widths.copy()
                neighbor[position] = choice
                moved.append(neighbor)
        errors = np.abs(goal.cost(np.stack(moved)) - target)
        nearest = int(errors.argmin())
        if errors[nearest] >= error:
            break
        widths, error = moved[nearest], float(errors[nearest])
    return widths
