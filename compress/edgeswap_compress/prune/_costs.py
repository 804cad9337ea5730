"""MACs of a pruned U-Net in closed form, so that a search can try thousands of plans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusers.models.attention_processor import Attention
from torch import nn

from edgeswap_compress._macs import macs_by_module
from edgeswap_compress.prune._layers import can_cut
from edgeswap_compress.prune._sets import ChannelSet


@dataclass(frozen=True, slots=True)
class _Length:
    """An axis: its length now, and how often it loses each set's lost channels."""

    whole: int
    times: tuple[tuple[int, int], ...]  # (position of a set, number of offsets)

    def after(self, lost: Sequence[int]) -> int:
        return self.whole - sum(count * lost[position] for position, count in self.times)


@dataclass(frozen=True, slots=True)
class _Cost:
    """MACs that shrink in proportion to each of some axes."""

    macs: int
    axes: tuple[_Length, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """MACs of one forward pass as a function of the widths of the channel sets."""

    sizes: tuple[int, ...]
    costs: tuple[_Cost, ...]

    def macs(self, widths: Sequence[int]) -> int:
        """MACs once set i keeps widths[i] channels; exact, not an estimate."""
        lost = [size - kept for size, kept in zip(self.sizes, widths, strict=True)]
        total = 0
        for cost in self.costs:
            macs = cost.macs
            for axis in cost.axes:
                macs = macs * axis.after(lost) // axis.whole
            total += macs
        return total


def cost_model(twin: nn.Module, inputs: Mapping[str, Any], sets: Sequence[ChannelSet]) -> CostModel:
    """Counts every layer of an unpruned U-Net once.

    A layer's MACs go with the length of both its axes; the two products inside attention go with
    the heads' channels.

    Args:
        twin: from `meta_twin`.
        inputs: from `example_inputs`, on the meta device.
        sets: from `trace`.
    """
    axes: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(list)
    for position, chosen in enumerate(sets):
        for member in chosen.members:
            entry = (member.length, position, len(member.offsets))
            axes[member.layer, member.axis].append(entry)
    counted = macs_by_module(twin, inputs)
    costs = []
    for name, module in twin.named_modules():
        touched: tuple[tuple[str, str], ...]
        macs = counted.get(name, 0)
        if can_cut(module):
            touched = ((name, "out"), (name, "in"))
        elif isinstance(module, Attention):
            parts = [f"{name}.{part}" for part, layer in module.named_modules() if can_cut(layer)]
            macs -= sum(counted.get(part, 0) for part in parts)
            touched = ((f"{name}.to_q", "out"),)
        else:
            continue
        costs.append(_Cost(macs, tuple(_length(axes[key]) for key in touched if axes[key])))
    return CostModel(sizes=tuple(chosen.size for chosen in sets), costs=tuple(costs))


def _length(entries: Sequence[tuple[int, int, int]]) -> _Length:
    return _Length(entries[0][0], tuple((position, count) for _, position, count in entries))
