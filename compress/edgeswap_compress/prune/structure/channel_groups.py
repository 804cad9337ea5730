"""Groups of channels that are removed together, and how many of them may stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, lcm
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeswap_compress.plan.layers import AxisName

Scores: TypeAlias = NDArray[np.float64]
"""(size,) importance of each channel of a group, non-negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One axis of one layer that a channel group runs through.

    Attributes:
        layer: module name.
        axis: which axis of it.
        length: of that axis, everything included.
        offsets: channel i of the group is at `offset + i` on the axis, for each offset. A
            concatenation gives an offset above 0, a projection split in two gives two offsets.
    """

    layer: str
    axis: AxisName
    length: int
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGroup:
    """Channels that several layers share: removing one removes it from every member.

    The inner channels of a resnet of width 32 are an example. Its conv1 makes them, norm2
    normalizes them in 8 groups, conv2 reads them, and time_emb_proj, whose 64 outputs are split
    into a scale and a shift of 32 each, changes them. The group has the size 32, the name of
    conv1, norm_groups (8,), own_groups 8, and these members:

        conv1          axis "out", length 32, offsets (0,)
        norm2          axis "out", length 32, offsets (0,)
        conv2          axis "in",  length 32, offsets (0,)
        time_emb_proj  axis "out", length 64, offsets (0, 32): channel 5 is outputs 5 and 37

    At a width of 24 each of the norm's 8 groups keeps its 3 most important channels.

    Attributes:
        name: of the layer that stands for the group.
        size: number of channels.
        unit: channels that stay or go as one: an attention head's, else 1.
        members: every axis the channels run through.
        norm_groups: of every GroupNorm among the members, its number of groups.
        own_groups: common divisor of the groups of those GroupNorms that normalize this group
            alone, not concatenated with another; 1 where there is none.
        attention: name of the attention module whose heads these are, or None.
    """

    name: str
    size: int
    unit: int = 1
    members: tuple[Member, ...]
    norm_groups: tuple[int, ...] = ()
    own_groups: int = 1
    attention: str | None = None

    @property
    def is_chain(self) -> bool:
        """Whether the channels live between two layers of one resnet or feed-forward only."""
        readers = [member for member in self.members if member.axis == "in"]
        return len(readers) == 1 and readers[0].layer.endswith((".conv2", ".net.2"))

    def widths(self, *, round_to: int, keep_groups: bool) -> tuple[int, ...]:
        """List the widths the group may have, from `size` downwards, never 0.

        Args:
            round_to: every smaller width is a multiple of it (and of `unit`).
            keep_groups: also a multiple of every GroupNorm's number of groups, so that all
                groups lose equally many channels and their number stays.
        """
        step = lcm(round_to, self.unit, *(self.norm_groups if keep_groups else ()))
        below = range((self.size - 1) // step * step, 0, -step)
        return (self.size, *below)

    def losses(self, scores: Scores, widths: Sequence[int]) -> list[float]:
        """Compute the share of the group's importance, in [0, 1], that is gone at some widths.

        Args:
            scores: (size,) non-negative. If all are 0, every channel counts the same.
            widths: each at most `size`.
        """
        values = scores if scores.sum() > 0 else np.ones_like(scores)
        kept_by_slices = {
            slices: values[self._ranked(values, slices)].sum(axis=0).cumsum()
            for slices in {self._slices(width) for width in widths}
        }
        return [
            float(1 - kept_by_slices[slices][width // slices - 1] / values.sum())
            for width in widths
            for slices in (self._slices(width),)
        ]

    def select(self, scores: Scores, width: int) -> tuple[int, ...]:
        """Select the channels that stay at a width: those with the highest scores.

        Equally many stay in each of gcd(own_groups, width) contiguous slices, so that the
        norm's groups keep their members. Ties go to the lower index.

        Args:
            scores: (size,) importance of each channel; a head's channels share the head's score.
            width: one of `widths(...)`.

        Returns:
            Kept channels, ascending.
        """
        slices = self._slices(width)
        kept = self._ranked(scores, slices)[:, : width // slices]
        return tuple(int(channel) for channel in np.sort(kept, axis=None))

    def _slices(self, width: int) -> int:
        slices = gcd(self.own_groups, width)
        return 1 if self.unit > 1 or self.size % slices else slices

    def _ranked(self, scores: Scores, slices: int) -> NDArray[np.int64]:
        """(slices, size / slices) channels of each slice, the most important first."""
        rows = scores.reshape(slices, -1)
        starts = np.arange(0, self.size, rows.shape[1])[:, None]
        return np.argsort(-rows, axis=1, kind="stable") + starts
