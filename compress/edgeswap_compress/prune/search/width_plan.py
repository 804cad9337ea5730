"""Make a plan of widths: search them, choose the channels, write down what stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import gcd

from torch import nn

from edgeswap_compress.plan.plan import Axis, LayerCut, PlanStats, PruningPlan
from edgeswap_compress.prune.config import PruneConfig
from edgeswap_compress.prune.search.importance import kept_of
from edgeswap_compress.prune.search.replay import Earlier
from edgeswap_compress.prune.search.widths import CostTarget, search_widths
from edgeswap_compress.prune.structure.analysis import PrunableStructure
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup, Scores


def width_plan(
    config: PruneConfig,
    structure: PrunableStructure,
    target: CostTarget,
    scores: Mapping[str, Scores],
    *,
    allocation: str,
    earlier: Earlier | None = None,
) -> PruningPlan:
    """Reach a cost target by widths; the structure's dropped modules stay dropped.

    Args:
        config: its alignment is used, and what it says goes into the stats.
        structure: of the U-Net in its original shape.
        target: cost of `structure`'s groups.
        scores: from `scores_of`.
        allocation: as in `PruneConfig`, but not "best".
        earlier: what the U-Net has lost already; the plan keeps none of it.

    Raises:
        UnreachableTarget: no aligned plan comes within 5 % of the target.
    """
    groups, costs = structure.groups, structure.costs
    pruned = None if earlier is None else earlier.plan
    reached = None if pruned is None else [_reached(group, pruned) for group in groups]
    widths = search_widths(
        groups,
        scores,
        target,
        allocation=allocation,
        round_to=config.choice.round_to,
        at_most=reached,
    )
    kept = {
        group.name: group.select(scores[group.name], width)
        for group, width in zip(groups, widths, strict=True)
    }
    plan = plan_from_kept(structure.meta_copy, groups, kept)
    macs = int(costs.macs(widths))
    chains = [
        group.name for group in groups if group.is_chain and len(kept[group.name]) < group.size
    ]
    stats = PlanStats(
        importance=config.choice.importance,
        seed=config.seed,
        round_to=config.choice.round_to,
        macs_ratio=config.target.macs_ratio or macs / structure.macs,
        macs_before=structure.macs,
        macs_after=macs,
        parameters_before=structure.parameters,
        parameters_after=int(costs.parameters(widths)),
        target=None if config.target.name == "macs" else config.target.name,
        allocation=None if allocation == "share" else allocation,
        resampled=tuple(chains) if config.choice.resample else None,
    )
    return replace(plan, dropped=structure.dropped, stats=stats)


def _reached(group: ChannelGroup, pruned: PruningPlan) -> int:
    kept = kept_of(group, pruned)
    return group.size if kept is None else len(kept)


def plan_from_kept(
    unet: nn.Module, groups: Sequence[ChannelGroup], kept: Mapping[str, Sequence[int]]
) -> PruningPlan:
    """Write down the plan, without stats, that keeps the given channels of each group.

    A GroupNorm whose channels no longer divide into its groups gets the greatest number of
    groups that divides both.

    Args:
        unet: the U-Net, or its meta copy, in its original shape.
        groups: from `trace`.
        kept: group name -> the channels that stay, ascending; a group that is absent stays whole.
    """
    lost: dict[str, dict[str, set[int]]] = defaultdict(lambda: {"out": set(), "in": set()})
    lengths: dict[tuple[str, str], int] = {}
    heads = {}
    for group in groups:
        stay = kept.get(group.name, range(group.size))
        if len(stay) == group.size:
            continue
        gone = set(range(group.size)) - set(stay)
        for member in group.members:
            lengths[member.layer, member.axis] = member.length
            indices = (offset + channel for offset in member.offsets for channel in gone)
            lost[member.layer][member.axis].update(indices)
        if group.attention is not None:
            heads[group.attention] = tuple(sorted({i // group.unit for i in stay}))
    layers = {
        name: LayerCut(
            out=_axis(lengths.get((name, "out")), gone["out"]),
            inp=_axis(lengths.get((name, "in")), gone["in"]),
        )
        for name, gone in lost.items()
    }
    return PruningPlan(layers=layers, heads=heads, groups=_norm_groups(unet, layers))


def _axis(length: int | None, gone: set[int]) -> Axis | None:
    if length is None:
        return None
    return Axis(of=length, kept=tuple(i for i in range(length) if i not in gone))


def _norm_groups(unet: nn.Module, layers: Mapping[str, LayerCut]) -> dict[str, int]:
    changed = {}
    for name, cut in layers.items():
        norm = unet.get_submodule(name)
        if isinstance(norm, nn.GroupNorm) and cut.out is not None:
            groups = gcd(norm.num_groups, len(cut.out.kept))
            if groups != norm.num_groups:
                changed[name] = groups
    return changed
