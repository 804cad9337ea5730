"""Making a plan of widths: trace, judge, search, and write down what stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from typing import Any

from torch import nn

from edgeswap_compress._macs import count_macs, count_parameters
from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.plan.depth import without
from edgeswap_compress.plan.meta_copy import meta_copy
from edgeswap_compress.plan.plan import Axis, DropKind, LayerCut, PlanStats, PruningPlan
from edgeswap_compress.plan.skips import check_drops
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._config import PruneConfig
from edgeswap_compress.prune._protect import protected_layers
from edgeswap_compress.prune.search.importance import kept_of, score
from edgeswap_compress.prune.search.replay import Earlier
from edgeswap_compress.prune.search.widths import CostTarget, search_widths
from edgeswap_compress.prune.structure._trace import trace
from edgeswap_compress.prune.structure.candidates import lost_layers
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup, Scores
from edgeswap_compress.prune.structure.costs import CostModel, cost_model
from edgeswap_compress.prune.structure.inputs import DEFAULT_TOKENS, example_inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableStructure:
    """What can be pruned in a U-Net and what it saves; the weights play no part.

    Args:
        meta: weightless double on the meta device: the depth that is left, no width pruned.
        sets: the channel sets of `meta` that may be pruned.
        costs: MACs and parameters of `meta` as a function of their widths.
        macs: of the U-Net in its original shape.
        parameters: likewise.
        dropped: what `meta` lacks, as in a plan.
    """

    meta: nn.Module
    sets: tuple[ChannelGroup, ...]
    costs: CostModel
    macs: int
    parameters: int
    dropped: Mapping[str, DropKind] = field(default_factory=dict)


def analyze(
    unet: Any,
    *,
    tokens: int = DEFAULT_TOKENS,
    dropped: Mapping[str, DropKind] | None = None,
    protect: Iterable[str] = (),
) -> PrunableStructure:
    """Trace a U-Net and count its layers.

    Args:
        unet: a `UNet2DConditionModel` or `UNet2DModel` that has not been pruned; not changed.
        tokens: length of the cross-attention sequence, for counting MACs.
        dropped: modules to leave out, as in a plan.
        protect: patterns of modules whose layers must stay as they are, see `protected_layers`.

    Raises:
        UnsupportedModel: not a U-Net that can be pruned.
        BadPlan: `dropped` does not fit it.
        PruningError: a pattern names no module, or one of a dropped module.
    """
    whole = meta_copy(unet)
    gone = dict(dropped or {})
    check_drops(whole, gone)
    protected = protected_layers(whole, protect)
    if lost := protected.intersection(lost_layers(whole, gone)):
        raise PruningError(f"{min(lost)} is protected, so it cannot be dropped")
    meta = without(whole, gone)
    inputs = example_inputs(unet.config, tokens=tokens)
    sets = tuple(
        chosen
        for chosen in trace(meta, inputs)
        if not any(member.layer in protected for member in chosen.members)
    )
    if not sets:
        raise PruningError(
            "nothing in this U-Net is left to prune: all of its layers are protected, dropped or "
            "of kinds that stay; protect less with --protect"
        )
    return PrunableStructure(
        meta=meta,
        sets=sets,
        costs=cost_model(meta, inputs, sets),
        macs=count_macs(whole, inputs),
        parameters=count_parameters(whole),
        dropped=gone,
    )


def scores_of(
    unet: Any,
    config: PruneConfig,
    known: PrunableStructure,
    *,
    calibration: CalibrationSamples | None = None,
    earlier: Earlier | None = None,
) -> dict[str, Scores]:
    """Importance of every channel in the depth that was structure.

    Args:
        unet: with weights, in its original shape or in what `earlier` left of it; not changed.
        config: its importance and seed are used.
        known: of the U-Net in its original shape.
        calibration: samples, for importances that need them.
        earlier: what the U-Net has lost already.

    Raises:
        PruningError: the importance needs samples.
    """
    pruned = None if earlier is None else earlier.plan
    left = without(unet, known.dropped) if pruned is None and known.dropped else unet
    return score(
        left, known.sets, config.importance, config.seed, calibration=calibration, pruned=pruned
    )


def width_plan(
    config: PruneConfig,
    known: PrunableStructure,
    goal: CostTarget,
    scores: Mapping[str, Scores],
    *,
    allocation: str,
    earlier: Earlier | None = None,
) -> PruningPlan:
    """A plan that reaches a goal by widths, in the depth that was structure.

    Args:
        config: its alignment is used, and what it says goes into the stats.
        known: of the U-Net in its original shape.
        goal: cost of `known`'s sets.
        scores: from `scores_of`.
        allocation: as in `PruneConfig`, but not "best".
        earlier: what the U-Net has lost already; the plan keeps none of it.

    Raises:
        UnreachableTarget: no aligned plan comes within 5 % of the goal.
    """
    sets, costs = known.sets, known.costs
    pruned = None if earlier is None else earlier.plan
    reached = None if pruned is None else [_reached(chosen, pruned) for chosen in sets]
    widths = search_widths(
        sets, scores, goal, allocation=allocation, round_to=config.round_to, at_most=reached
    )
    kept = {
        chosen.name: chosen.select(scores[chosen.name], width)
        for chosen, width in zip(sets, widths, strict=True)
    }
    plan = plan_from_kept(known.meta, sets, kept)
    macs = int(costs.macs(widths))
    chains = [
        chosen.name for chosen in sets if chosen.is_chain and len(kept[chosen.name]) < chosen.size
    ]
    stats = PlanStats(
        importance=config.importance,
        seed=config.seed,
        round_to=config.round_to,
        macs_ratio=config.macs_ratio or macs / known.macs,
        macs_before=known.macs,
        macs_after=macs,
        parameters_before=known.parameters,
        parameters_after=int(costs.parameters(widths)),
        target=None if config.target == "macs" else config.target,
        allocation=None if allocation == "share" else allocation,
        resampled=tuple(chains) if config.resample else None,
    )
    return replace(plan, dropped=known.dropped, stats=stats)


def _reached(chosen: ChannelGroup, pruned: PruningPlan) -> int:
    kept = kept_of(chosen, pruned)
    return chosen.size if kept is None else len(kept)


def plan_from_kept(
    unet: nn.Module, sets: Sequence[ChannelGroup], kept: Mapping[str, Sequence[int]]
) -> PruningPlan:
    """The plan, without stats, that keeps the given channels of each set.

    A GroupNorm whose channels no longer divide into its groups gets the greatest number of
    groups that divides both.

    Args:
        unet: the U-Net, or its meta meta, in its original shape.
        sets: from `trace`.
        kept: set name -> the channels that stay, ascending; a set that is absent stays whole.
    """
    lost: dict[str, dict[str, set[int]]] = defaultdict(lambda: {"out": set(), "in": set()})
    lengths: dict[tuple[str, str], int] = {}
    heads = {}
    for chosen in sets:
        stay = kept.get(chosen.name, range(chosen.size))
        if len(stay) == chosen.size:
            continue
        gone = set(range(chosen.size)) - set(stay)
        for member in chosen.members:
            lengths[member.layer, member.axis] = member.length
            indices = (offset + channel for offset in member.offsets for channel in gone)
            lost[member.layer][member.axis].update(indices)
        if chosen.attention is not None:
            heads[chosen.attention] = tuple(sorted({i // chosen.unit for i in stay}))
    layers = {
        name: LayerCut(
            out=_axis(lengths.get((name, "out")), gone["out"]),
            inp=_axis(lengths.get((name, "in")), gone["in"]),
        )
        for name, gone in lost.items()
    }
    return PruningPlan(layers=layers, heads=heads, groups=_groups(unet, layers))


def _axis(length: int | None, gone: set[int]) -> Axis | None:
    if length is None:
        return None
    return Axis(of=length, kept=tuple(i for i in range(length) if i not in gone))


def _groups(unet: nn.Module, layers: Mapping[str, LayerCut]) -> dict[str, int]:
    changed = {}
    for name, cut in layers.items():
        norm = unet.get_submodule(name)
        if isinstance(norm, nn.GroupNorm) and cut.out is not None:
            groups = gcd(norm.num_groups, len(cut.out.kept))
            if groups != norm.num_groups:
                changed[name] = groups
    return changed
