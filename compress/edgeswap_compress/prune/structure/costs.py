"""Compute MACs and parameters of a pruned U-Net in closed form, for many plans at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from diffusers.models.attention_processor import Attention
from numpy.typing import ArrayLike, NDArray
from torch import nn

from edgeswap_compress._macs import count_parameters, macs_by_module
from edgeswap_compress.plan.layers import WEIGHT_AXES, can_cut, kind_of, width
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup

Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostTerms:
    """A sum of entries, each a rate times the lengths of two axes (1 where there is no axis).

    Attributes:
        layers: (entries,) name of the layer or attention that each entry is of.
        rates: (entries,).
        lengths: (2, entries) before pruning.
        losses: (2, entries, groups) by how much an axis shrinks when a group loses one channel.
    """

    layers: tuple[str, ...]
    rates: Integers
    lengths: Integers
    losses: Integers

    def entries(self, lost: Integers) -> Integers:
        """Compute the entries (..., entries) from the channels each group loses, (..., groups)."""
        after = self.lengths[:, None] - np.moveaxis(self.losses @ np.atleast_2d(lost).T, 2, 1)
        found: Integers = self.rates * after[0] * after[1]
        return found.reshape((*lost.shape[:-1], -1))

    def total(self, lost: Integers) -> Integers:
        """Compute the sum (...) from the number of channels each group loses, (..., groups)."""
        totals: Integers = self.entries(lost).sum(axis=-1)
        return totals

    def without(self, gone: Callable[[str], bool]) -> CostTerms:
        """Keep the entries of layers that are not gone."""
        stay = [not gone(layer) for layer in self.layers]
        return CostTerms(
            layers=tuple(name for name, stays in zip(self.layers, stay, strict=True) if stays),
            rates=self.rates[stay],
            lengths=self.lengths[:, stay],
            losses=self.losses[:, stay],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostModel:
    """What a U-Net costs as a function of the widths of its channel groups; exact, no estimate."""

    sizes: Integers
    macs_terms: CostTerms
    parameters_terms: CostTerms

    def macs(self, widths: ArrayLike) -> Integers:
        """Compute the MACs (...) of one forward pass from the groups' widths, (..., groups)."""
        return self.macs_terms.total(self.sizes - np.asarray(widths, dtype=np.int64))

    def parameters(self, widths: ArrayLike) -> Integers:
        """Compute the number of parameters (...) from the groups' widths, (..., groups)."""
        return self.parameters_terms.total(self.sizes - np.asarray(widths, dtype=np.int64))

    def without(self, gone: Callable[[str], bool]) -> CostModel:
        """Drop some layers, which changes no other layer's cost."""
        return CostModel(
            sizes=self.sizes,
            macs_terms=self.macs_terms.without(gone),
            parameters_terms=self.parameters_terms.without(gone),
        )


def cost_model(
    meta: nn.Module, inputs: Mapping[str, Any], groups: Sequence[ChannelGroup]
) -> CostModel:
    """Count the MACs and parameters of every layer of an unpruned U-Net.

    A layer's MACs and weights go with the length of both its axes, its bias with its output; the
    two products inside attention go with the heads' channels.

    Args:
        meta: the U-Net without weights, from `meta_copy`.
        inputs: from `example_inputs`, on the meta device.
        groups: from `trace`.
    """
    losses: dict[tuple[str, str], Integers] = defaultdict(lambda: np.zeros(len(groups), np.int64))
    for position, group in enumerate(groups):
        for member in group.members:
            losses[member.layer, member.axis][position] += len(member.offsets)
    counted = macs_by_module(meta, inputs)
    macs, parameters, fixed = _TermsBuilder(losses), _TermsBuilder(losses), count_parameters(meta)
    for name, module in meta.named_modules():
        if can_cut(module):
            axes = _axes(name, module)
            macs.add(name, counted.get(name, 0), axes)
            for parameter, touched in zip(("weight", "bias"), (axes, axes[:1]), strict=True):
                values = getattr(module, parameter, None)
                if values is not None:
                    parameters.add(name, values.numel(), touched)
                    fixed -= values.numel()
        elif isinstance(module, Attention):
            parts = [f"{name}.{part}" for part, layer in module.named_modules() if can_cut(layer)]
            own = counted.get(name, 0) - sum(counted.get(part, 0) for part in parts)
            heads = "to_v" if module.to_q is None else "to_q"
            macs.add(name, own, _axes(f"{name}.{heads}", getattr(module, heads))[:1])
    parameters.add("", fixed, [])  # of anything that cannot be cut
    return CostModel(
        sizes=np.array([group.size for group in groups], dtype=np.int64),
        macs_terms=macs.build(),
        parameters_terms=parameters.build(),
    )


def _axes(name: str, layer: nn.Module) -> list[tuple[str, str, int]]:
    return [
        (name, axis, width(name, layer, axis) or 1) for axis in WEIGHT_AXES[kind_of(name, layer)]
    ]


class _TermsBuilder:
    """Collects cost terms, entry by entry."""

    def __init__(self, losses: Mapping[tuple[str, str], Integers]) -> None:
        self._losses = losses
        self._layers: list[str] = []
        self._rates: list[int] = []
        self._lengths: list[list[int]] = []
        self._shrinks: list[list[Integers]] = []

    def add(self, layer: str, amount: int, axes: Sequence[tuple[str, str, int]]) -> None:
        """Add an amount that is proportional to each of at most two axes (layer, axis, length)."""
        lengths = [length for _, _, length in axes]
        self._layers.append(layer)
        self._rates.append(amount // int(np.prod(lengths, dtype=np.int64)))
        nothing = np.zeros_like(self._losses["", ""])
        missing = 2 - len(axes)
        self._lengths.append(lengths + [1] * missing)
        self._shrinks.append([self._losses[a, b] for a, b, _ in axes] + [nothing] * missing)

    def build(self) -> CostTerms:
        """Join everything added so far."""
        return CostTerms(
            layers=tuple(self._layers),
            rates=np.array(self._rates, dtype=np.int64),
            lengths=np.array(self._lengths, dtype=np.int64).T.copy(),
            losses=np.array(self._shrinks, dtype=np.int64).swapaxes(0, 1).copy(),
        )
