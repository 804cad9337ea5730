"""Making a plan: trace, judge, search, and write down what stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import gcd
from typing import Any

from torch import nn

from edgeswap_compress._macs import count_macs, count_parameters
from edgeswap_compress.prune._apply import apply_plan
from edgeswap_compress.prune._costs import cost_model
from edgeswap_compress.prune._errors import PruningError
from edgeswap_compress.prune._importance import score
from edgeswap_compress.prune._inputs import DEFAULT_TOKENS, example_inputs
from edgeswap_compress.prune._plan import Axis, LayerCut, PlanStats, PruningPlan
from edgeswap_compress.prune._search import search_widths
from edgeswap_compress.prune._sets import ChannelSet
from edgeswap_compress.prune._trace import trace
from edgeswap_compress.prune._twin import meta_twin


def build_plan(
    unet: Any,
    *,
    macs_ratio: float,
    importance: str = "magnitude",
    round_to: int = 8,
    seed: int = 0,
    tokens: int = DEFAULT_TOKENS,
) -> PruningPlan:
    """A plan that leaves a U-Net about `macs_ratio` of its multiply-accumulates.

    Resnets, residual streams, attention heads (whole ones) and feed-forward layers become
    narrower. The model's input and output, its conditioning embeddings and the width of the
    cross-attention tokens stay.

    Args:
        unet: a `UNet2DConditionModel` or `UNet2DModel` that has not been pruned, with weights;
            it is not changed.
        macs_ratio: in (0, 1), MACs after / MACs before; met within 5 %, usually within 1 %.
        importance: a key of `IMPORTANCES`.
        round_to: every width that changes becomes a multiple of it.
        seed: for importances that draw numbers.
        tokens: length of the cross-attention sequence, for counting MACs.

    Raises:
        UnsupportedModel: not a U-Net that can be pruned.
        UnreachableTarget: no aligned plan comes near the ratio.
        PruningError: an argument is out of range.
    """
    if not 0 < macs_ratio < 1:
        raise PruningError(f"macs_ratio must lie between 0 and 1, found {macs_ratio:g}")
    if round_to < 1:
        raise PruningError(f"round_to must be at least 1, found {round_to}")
    twin = meta_twin(unet)
    inputs = example_inputs(unet.config, tokens=tokens)
    sets = trace(twin, inputs)
    costs = cost_model(twin, inputs, sets)
    scores = score(unet, sets, importance, seed)
    widths = search_widths(sets, scores, costs, macs_ratio=macs_ratio, round_to=round_to)
    kept = {
        chosen.name: chosen.select(scores[chosen.name], width)
        for chosen, width in zip(sets, widths, strict=True)
    }
    plan = plan_from_kept(twin, sets, kept)
    macs_before, parameters_before = count_macs(twin, inputs), count_parameters(twin)
    apply_plan(twin, plan)
    stats = PlanStats(
        importance=importance,
        seed=seed,
        round_to=round_to,
        macs_ratio=float(macs_ratio),
        macs_before=macs_before,
        macs_after=count_macs(twin, inputs),
        parameters_before=parameters_before,
        parameters_after=count_parameters(twin),
    )
    return PruningPlan(layers=plan.layers, heads=plan.heads, groups=plan.groups, stats=stats)


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
