"""Making a plan: every depth and every way of comparing layers that is asked for; the best wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from edgeswap_compress._pruning_errors import PruningError, UnreachableTarget
from edgeswap_compress.plan.depth import without
from edgeswap_compress.plan.plan import DropKind, PruningPlan
from edgeswap_compress.prune._config import PruneConfig
from edgeswap_compress.prune._protect import protected_layers
from edgeswap_compress.prune.search.replay import Earlier, pruned_copy
from edgeswap_compress.prune.search.widths import Cost, CostTarget
from edgeswap_compress.prune.structure.analysis import (
    PrunableStructure,
    analyze,
    scores_of,
    width_plan,
)
from edgeswap_compress.prune.structure.candidates import depth_candidates, goes_with, joined
from edgeswap_compress.prune.structure.inputs import DEFAULT_TOKENS

if TYPE_CHECKING:
    from edgeswap_compress.prune._calibration import CalibrationSamples
    from edgeswap_compress.prune.latency.table import LatencyTable

ALLOCATIONS = ("share", "uniform", "global")
MOST_DEPTHS = 6  # depths that "both" completes to whole plans
FINALIZTS = 4  # plans that are judged on all samples; the others have lost on a quarter of them


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanInputs:
    """What a plan is made with, beside the weights.

    Args:
        tokens: length of the cross-attention sequence, for counting MACs.
        calibration: samples, for importances that need them and for choosing between plans.
        latencies: needed for a latency target.
    """

    tokens: int = DEFAULT_TOKENS
    calibration: CalibrationSamples | None = None
    latencies: LatencyTable | None = None

    def goal(self, known: PrunableStructure, config: PruneConfig) -> CostTarget:
        """The cost that a config's ratio is of, as a function of the widths of a structure's sets.

        Raises:
            PruningError: a latency target without a table.
        """
        whole: float
        cost: Cost
        if config.target == "macs":
            cost, whole, what = known.costs.macs, known.macs, "MACs"
        elif config.target == "params":
            cost, whole, what = known.costs.parameters, known.parameters, "parameters"
        elif self.latencies is None:
            raise PruningError("a latency target needs a table of latencies: measure_latencies()")
        else:
            cost, what = self.latencies.cost(known.costs), "latency"
            whole = self.latencies.whole_ms
        option = f"--{config.target}-ratio"
        return CostTarget(
            cost=cost, whole=float(whole), ratio=config.ratio, what=what, option=option
        )


def build_plan(
    unet: Any,
    config: PruneConfig,
    structure: PrunableStructure | None = None,
    *,
    plan_inputs: PlanInputs | None = None,
    earlier: Earlier | None = None,
) -> PruningPlan:
    """The plan that reaches the config's ratio and changes the U-Net's outputs least.

    Resnets, residual streams, attention heads (whole ones) and feed-forward layers become
    narrower, modules are dropped. The model's input and output, its conditioning embeddings and
    the width of the cross-attention tokens stay.

    Args:
        unet: a `UNet2DConditionModel` or `UNet2DModel` that has not been pruned, with float32
            weights where there are calibration samples; it is not changed. Or what `earlier` left
            of one.
        config: what to prune to; after an earlier plan its depth stays what that plan made it.
        structure: `analyze(unet)`, for making several plans.
        plan_inputs: samples and latencies, where they are needed.
        earlier: where a pruned U-Net is pruned further.

    Raises:
        UnsupportedModel: not a U-Net that can be pruned.
        UnreachableTarget: no aligned plan comes within 5 % of the ratio.
        PruningError: samples or latencies are needed and missing.
    """
    plan_inputs = plan_inputs or PlanInputs()
    whole = unet if earlier is None else earlier.original
    known = structure or analyze(
        whole,
        tokens=plan_inputs.tokens,
        protect=config.protect,
        dropped=None if earlier is None else earlier.plan.dropped,
    )
    if earlier is not None:
        config = replace(config, mode="width")
    if config.compares and plan_inputs.calibration is None:
        raise PruningError(
            "choosing between plans measures a loss, but there are no samples: name a rendered "
            "dataset with --data, or use --mode width and another --allocation than best"
        )
    tried = [
        entry
        for depth in _depths(whole, config, known, plan_inputs)
        for entry in _width_plans(unet, config, depth, plan_inputs, earlier)
    ]
    plans = [entry for entry in tried if isinstance(entry, PruningPlan)]
    if not plans:
        raise next(entry for entry in tried if isinstance(entry, UnreachableTarget))
    if plan_inputs.calibration is None:
        return plans[0]
    if len(plans) > FINALIZTS:
        plans = _ranked(unet, whole, plans, plan_inputs.calibration.few(), earlier)[:FINALIZTS]
    return _ranked(unet, whole, plans, plan_inputs.calibration, earlier)[0]


def _ranked(
    unet: Any,
    whole: Any,
    plans: list[PruningPlan],
    calibration: CalibrationSamples,
    earlier: Earlier | None,
) -> list[PruningPlan]:
    """The plans, the one that changes the outputs least first; each says how much it does."""
    wanted = calibration.outputs(whole)
    judged = [_judged(unet, plan, calibration, wanted, earlier) for plan in plans]
    return [plan for _, plan in sorted(judged, key=lambda entry: entry[0])]


def _width_plans(
    unet: Any,
    config: PruneConfig,
    known: PrunableStructure,
    plan_inputs: PlanInputs,
    earlier: Earlier | None,
) -> Iterator[PruningPlan | UnreachableTarget]:
    """A plan for each allocation that is asked for, or why there is none."""
    goal = plan_inputs.goal(known, config)
    scores = scores_of(unet, config, known, calibration=plan_inputs.calibration, earlier=earlier)
    for allocation in ALLOCATIONS if config.allocation == "best" else (config.allocation,):
        make = partial(
            width_plan, config, known, goal, scores, allocation=allocation, earlier=earlier
        )
        yield _plan_or_why(make)


def _plan_or_why(make: Callable[[], PruningPlan]) -> PruningPlan | UnreachableTarget:
    """That one of several plans cannot be had may not stop the others."""
    try:
        return make()
    except UnreachableTarget as error:
        return error


def _judged(
    unet: Any,
    plan: PruningPlan,
    calibration: CalibrationSamples,
    wanted: list[Tensor],
    earlier: Earlier | None,
) -> tuple[float, PruningPlan]:
    """What a plan does to the outputs before any training, and the plan that says so."""
    loss = calibration.distance(pruned_copy(unet, plan, earlier), wanted)
    if plan.stats is None:
        return loss, plan
    return loss, replace(plan, stats=replace(plan.stats, predicted_loss=loss))


def _depths(
    unet: Any, config: PruneConfig, known: PrunableStructure, plan_inputs: PlanInputs
) -> Iterator[PrunableStructure]:
    """The depths to complete to plans, none dropped first."""
    if config.mode == "width" or plan_inputs.calibration is None:
        yield known
        return
    if config.mode == "both":
        yield known
    # which modules go is clear from few samples; which channels go is not
    drops = list(_greedy(unet, config, known, plan_inputs, plan_inputs.calibration.few()))
    if config.mode == "depth":
        drops = drops[-1:] or [{}]
    elif len(drops) > MOST_DEPTHS:
        places = np.linspace(0, len(drops) - 1, MOST_DEPTHS).astype(int)
        drops = [drops[place] for place in places]
    for dropped in drops:
        yield analyze(unet, tokens=plan_inputs.tokens, dropped=dropped, protect=config.protect)


def _greedy(
    unet: Any,
    config: PruneConfig,
    known: PrunableStructure,
    plan_inputs: PlanInputs,
    calibration: CalibrationSamples,
) -> Iterator[Mapping[str, DropKind]]:
    """Drops of growing depth: one more candidate each, the least change for what it saves first.

    Candidates are measured alone. One that would overshoot the target is passed over.
    """
    wanted = calibration.outputs(unet)

    def cost(dropped: Mapping[str, DropKind]) -> float:
        left = replace(known, costs=known.costs.without(goes_with(dropped)))
        return float(plan_inputs.goal(left, config).cost(known.costs.sizes))

    goal = plan_inputs.goal(known, config)
    target, whole = goal.ratio * goal.whole, cost({})
    ranked = []
    for candidate in depth_candidates(unet, protected_layers(unet, config.protect)):
        saved = whole - cost(candidate.dropped)
        if saved > 0:
            change = calibration.distance(without(unet, candidate.dropped).eval(), wanted)
            ranked.append((change / saved, candidate.name, candidate))
    dropped: dict[str, DropKind] = {}
    for _, _, candidate in sorted(ranked, key=lambda entry: entry[:2]):
        more = joined(unet, dropped, candidate.dropped)
        if more is not None and cost(more) >= target:
            dropped = more
            yield dict(dropped)
