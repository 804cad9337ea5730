"""Making a plan: trace, judge, search, and write down what stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from typing import Any

from torch import nn

from edgeswap_compress._macs import count_macs, count_parameters
from edgeswap_compress.prune._candidates import lost_layers
from edgeswap_compress.prune._config import PruneConfig
from edgeswap_compress.prune._costs import CostModel, cost_model
from edgeswap_compress.prune._depth import without
from edgeswap_compress.prune._errors import PruningError
from edgeswap_compress.prune._importance import score
from edgeswap_compress.prune._inputs import DEFAULT_TOKENS, example_inputs
from edgeswap_compress.prune._plan import Axis, DropKind, LayerCut, PlanStats, PruningPlan
from edgeswap_compress.prune._protect import protected_layers
from edgeswap_compress.prune._search import search_widths
from edgeswap_compress.prune._sets import ChannelSet
from edgeswap_compress.prune._skips import check_drops
from edgeswap_compress.prune._trace import trace
from edgeswap_compress.prune._twin import meta_twin


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What can be pruned in a U-Net and what it saves; the weights play no part.

    Args:
        twin: weightless double on the meta device: the depth that is left, no width pruned.
        sets: the channel sets of `twin` that may be pruned.
        costs: MACs and parameters of `twin` as a function of their widths.
        macs: of the U-Net in its original shape.
        parameters: likewise.
        dropped: what `twin` lacks, as in a plan.
    """

    twin: nn.Module
    sets: tuple[ChannelSet, ...]
    costs: CostModel
    macs: int
    parameters: int
    dropped: Mapping[str, DropKind] = field(default_factory=dict)


def survey(
    unet: Any,
    *,
    tokens: int = DEFAULT_TOKENS,
    dropped: Mapping[str, DropKind] | None = None,
    protect: Iterable[str] = (),
) -> Survey:
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
    whole = meta_twin(unet)
    gone = dict(dropped or {})
    check_drops(whole, gone)
    protected = protected_layers(whole, protect)
    if lost := protected.intersection(lost_layers(whole, gone)):
        raise PruningError(f"{min(lost)} is protected, so it cannot be dropped")
    twin = without(whole, gone)
    inputs = example_inputs(unet.config, tokens=tokens)
    sets = tuple(
        chosen
        for chosen in trace(twin, inputs)
        if not any(member.layer in protected for member in chosen.members)
    )
    return Survey(
        twin=twin,
        sets=sets,
        costs=cost_model(twin, inputs, sets),
        macs=count_macs(whole, inputs),
        parameters=count_parameters(whole),
        dropped=gone,
    )


def build_plan(unet: Any, config: PruneConfig, surveyed: Survey | None = None) -> PruningPlan:
    """A plan that leaves a U-Net about `config.macs_ratio` of its multiply-accumulates.

    Resnets, residual streams, attention heads (whole ones) and feed-forward layers become
    narrower. The model's input and output, its conditioning embeddings and the width of the
    cross-attention tokens stay.

    Args:
        unet: a `UNet2DConditionModel` or `UNet2DModel` that has not been pruned, with weights;
            it is not changed.
        config: what to prune to.
        surveyed: `survey(unet)`, for making several plans.

    Raises:
        UnsupportedModel: not a U-Net that can be pruned.
        UnreachableTarget: no aligned plan comes within 5 % of the ratio.
    """
    known = surveyed or survey(unet)
    sets, costs = known.sets, known.costs
    scores = score(unet, sets, config.importance, config.seed)
    widths = search_widths(
        sets,
        scores,
        costs,
        macs_ratio=config.macs_ratio * known.macs / int(costs.macs(costs.sizes)),
        round_to=config.round_to,
    )
    kept = {
        chosen.name: chosen.select(scores[chosen.name], width)
        for chosen, width in zip(sets, widths, strict=True)
    }
    plan = plan_from_kept(known.twin, sets, kept)
    stats = PlanStats(
        importance=config.importance,
        seed=config.seed,
        round_to=config.round_to,
        macs_ratio=config.macs_ratio,
        macs_before=known.macs,
        macs_after=int(costs.macs(widths)),
        parameters_before=known.parameters,
        parameters_after=int(costs.parameters(widths)),
    )
    return replace(plan, dropped=known.dropped, stats=stats)


def plan_from_kept(
    unet: nn.Module, sets: Sequence[ChannelSet], kept: Mapping[str, Sequence[int]]
) -> PruningPlan:
    """The plan, without stats, that keeps the given channels of each set.

    A GroupNorm whose channels no longer divide into its groups gets the greatest number of
    groups that divides both.

    Args:
        unet: the U-Net, or its meta twin, in its original shape.
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
