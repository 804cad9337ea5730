"""Search the width of every channel group at which the U-Net costs what was asked."""

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
"""(...) from the width of each group, (..., groups)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostTarget:
    """What a search is to reach: a cost of the U-Net after pruning over its cost before.

    Attributes:
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

    @property
    def value(self) -> float:
        """The cost to reach."""
        return self.ratio * self.whole


def search_widths(
    groups: Sequence[ChannelGroup],
    scores: Mapping[str, Scores],
    target: CostTarget,
    *,
    allocation: str,
    round_to: int,
    at_most: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Find widths at which the U-Net costs `target.ratio` of its original cost.

    Widths at which every GroupNorm keeps its number of groups come first; others are used only
    where those miss the target by more than a hundredth.

    Args:
        groups: from `trace`.
        scores: importance of each channel, by the group's name.
        target: with a cost of the same groups.
        allocation: "share", "uniform" or "global", see `PruneConfig`.
        round_to: widths are multiples of it.
        at_most: widths that have been reached already; the sizes of the groups when None.

    Returns:
        One width for each group.

    Raises:
        UnreachableTarget: nothing within 5 % of the target; the message says what is reachable.
    """
    sizes = np.array(at_most or [group.size for group in groups], dtype=np.int64)
    best, found = sizes, float(target.cost(sizes))
    least = found
    for keep_groups in (True, False):
        options = [
            (int(most), *(width for width in widths if width < most))
            for group, most in zip(groups, sizes, strict=True)
            for widths in (group.widths(round_to=round_to, keep_groups=keep_groups),)
        ]
        widths = _approach(_steps(groups, scores, options, target, allocation), options, target)
        if abs(float(target.cost(widths)) - target.value) < abs(found - target.value):
            best, found = widths, float(target.cost(widths))
        if abs(found / target.value - 1) <= _GOOD_ENOUGH:
            break
        least = min(least, float(target.cost([choices[-1] for choices in options])))
    if abs(found / target.value - 1) > TOLERANCE:
        raise UnreachableTarget(
            f"a {target.what} ratio of {target.ratio:g} cannot be reached with widths that are "
            f"multiples of {round_to}: the nearest is {found / target.whole:.3f} and the least "
            f"{least / target.whole:.3f}; ask for another {target.option} or a smaller --round-to"
        )
    return tuple(int(width) for width in best)


Step: TypeAlias = tuple[float, int, int]
"""(price, position of the group, position of its new width among the options)"""


def _steps(
    groups: Sequence[ChannelGroup],
    scores: Mapping[str, Scores],
    options: Sequence[tuple[int, ...]],
    target: CostTarget,
    allocation: str,
) -> list[Step]:
    """Every narrowing of every group by one option, the cheapest first.

    A step's price is the share that the group has lost by then, or, for "global", the importance
    it loses over the cost it saves while all else is whole (the Lagrangian of the two). A price
    never falls as the group gets narrower, so each group's steps stay in order.
    """
    steps = []
    for position, (group, widths) in enumerate(zip(groups, options, strict=True)):
        values = np.ones(group.size) if allocation == "uniform" else scores[group.name]
        prices = group.losses(values, widths)
        if allocation == "global":
            prices = [
                loss / max(saved, 1e-9 * target.whole)
                for loss, saved in zip(
                    np.diff(np.array(prices) * values.sum(), prepend=0.0),
                    _saved(position, widths, groups, target),
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
    position: int, widths: Sequence[int], groups: Sequence[ChannelGroup], target: CostTarget
) -> NDArray[Any]:
    """What each width of one group saves on the one before, all other groups whole."""
    table = np.tile(np.array([group.size for group in groups], dtype=np.int64), (len(widths), 1))
    table[:, position] = widths
    saved: NDArray[Any] = -np.diff(target.cost(table), prepend=target.cost(table[0]))
    return saved


def _approach(
    steps: Sequence[Step], options: Sequence[tuple[int, ...]], target: CostTarget
) -> Integers:
    """Takes the cheapest steps until the target is met, then adjusts."""

    def widths_after(count: int) -> Integers:
        widths = np.array([choices[0] for choices in options], dtype=np.int64)
        for _, position, choice in steps[:count]:
            widths[position] = options[position][choice]
        return widths

    def saving(count: int) -> float:
        return -float(target.cost(widths_after(count)))

    count = bisect_left(range(len(steps)), -target.value, key=saving)
    return _adjust(widths_after(count), target, options)


def _adjust(widths: Integers, target: CostTarget, options: Sequence[tuple[int, ...]]) -> Integers:
    """Moves single groups by single steps as long as that brings the cost nearer to the target."""
    error = abs(float(target.cost(widths)) - target.value)
    while error > _AIM * target.value:
        moved = []
        for position, choices in enumerate(options):
            here = choices.index(int(widths[position]))
            for choice in choices[max(here - 1, 0) : here + 2]:
                neighbor = widths.copy()
                neighbor[position] = choice
                moved.append(neighbor)
        errors = np.abs(target.cost(np.stack(moved)) - target.value)
        nearest = int(errors.argmin())
        if errors[nearest] >= error:
            break
        widths, error = moved[nearest], float(errors[nearest])
    return widths
