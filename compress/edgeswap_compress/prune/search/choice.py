"""Make a plan: try the depths and allocations that are asked for, and choose the best."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from edgeswap_compress._pruning_errors import PruningError, UnreachableTarget
from edgeswap_compress.diffusers_folder.example_inputs import DEFAULT_TOKENS
from edgeswap_compress.fit.config import changed
from edgeswap_compress.plan.depth import without
from edgeswap_compress.plan.plan import DropKind, PruningPlan
from edgeswap_compress.prune._protect import protected_layers
from edgeswap_compress.prune.config import PruneConfig
from edgeswap_compress.prune.search.importance import scores_of
from edgeswap_compress.prune.search.replay import Earlier, pruned_copy
from edgeswap_compress.prune.search.width_plan import width_plan
from edgeswap_compress.prune.search.widths import Cost, CostTarget
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze, analyze_again
from edgeswap_compress.prune.structure.candidates import depth_candidates, goes_with, joined

if TYPE_CHECKING:
    from edgeswap_compress.prune._calibration import CalibrationSamples
    from edgeswap_compress.prune.structure.costs import CostModel

ALLOCATIONS = ("share", "uniform", "global")
MOST_DEPTHS = 6  # depths that "both" completes to whole plans
FINALISTS = 4  # plans that are compared on all samples; the others lost on a quarter of them


class LatencyPredictor(Protocol):
    """Predicts the latency of a U-Net from the widths of its channel groups."""

    @property
    def whole_ms(self) -> float:
        """Latency of the U-Net in its original shape, in milliseconds."""

    def cost(self, costs: CostModel, /) -> Cost:
        """Give the predicted latency in milliseconds as a function of the groups' widths."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanInputs:
    """What a plan is made from, beside the weights.

    Attributes:
        tokens: length of the cross-attention sequence, for counting MACs.
        samples: for importances that measure a loss, and for choosing between plans.
        latencies: needed for a latency target.
    """

    tokens: int = DEFAULT_TOKENS
    samples: CalibrationSamples | None = None
    latencies: LatencyPredictor | None = None

    def cost_target(self, structure: PrunableStructure, config: PruneConfig) -> CostTarget:
        """Give the cost that a config's ratio is of, as a function of the groups' widths.

        Raises:
            PruningError: a latency target without a table.
        """
        whole: float
        cost: Cost
        if config.target.name == "macs":
            cost, whole, what = structure.costs.macs, structure.macs, "MACs"
        elif config.target.name == "params":
            cost, whole, what = structure.costs.parameters, structure.parameters, "parameters"
        elif self.latencies is None:
            raise PruningError("a latency target needs a table of latencies: measure_latencies()")
        else:
            cost, what = self.latencies.cost(structure.costs), "latency"
            whole = self.latencies.whole_ms
        option = f"--{config.target.name}-ratio"
        return CostTarget(
            cost=cost, whole=float(whole), ratio=config.target.ratio, what=what, option=option
        )


def build_plan(
    unet: Any,
    config: PruneConfig,
    structure: PrunableStructure | None = None,
    *,
    inputs: PlanInputs | None = None,
    earlier: Earlier | None = None,
) -> PruningPlan:
    """Make the plan that reaches the config's ratio and changes the U-Net's outputs least.

    Resnets, residual streams, attention heads (whole ones) and feed-forward layers become
    narrower, modules are dropped. The model's input and output, its conditioning embeddings and
    the width of the cross-attention tokens stay.

    Args:
        unet: a `UNet2DConditionModel` or `UNet2DModel` that has not been pruned, with float32
            weights where there are calibration samples; it is not changed. Or what `earlier` left
            of one.
        config: what to prune to; after an earlier plan its depth stays what that plan made it.
        structure: `analyze(unet)`, for making several plans.
        inputs: samples and latencies, where they are needed.
        earlier: where a pruned U-Net is pruned further.

    Raises:
        UnsupportedModel: not a U-Net that can be pruned.
        UnreachableTarget: no aligned plan comes within 5 % of the ratio.
        PruningError: samples or latencies are needed and missing.
    """
    inputs = inputs or PlanInputs()
    whole = unet if earlier is None else earlier.original
    structure = structure or analyze(
        whole,
        tokens=inputs.tokens,
        protect=config.choice.protect,
        dropped=None if earlier is None else earlier.plan.dropped,
    )
    if earlier is not None:
        config = changed(config, {"choice.mode": "width"})
    if config.choice.compares and inputs.samples is None:
        raise PruningError(
            "choosing between plans measures a loss, but there are no samples: name a rendered "
            "dataset with --data, or use --mode width and another --allocation than best"
        )
    tried = [
        entry
        for depth in _depths(whole, config, structure, inputs)
        for entry in _width_plans(unet, config, depth, inputs, earlier)
    ]
    plans = [entry for entry in tried if isinstance(entry, PruningPlan)]
    if not plans:
        raise next(entry for entry in tried if isinstance(entry, UnreachableTarget))
    if inputs.samples is None:
        return plans[0]
    if len(plans) > FINALISTS:
        plans = _ranked(unet, whole, plans, inputs.samples.few(), earlier)[:FINALISTS]
    return _ranked(unet, whole, plans, inputs.samples, earlier)[0]


def _ranked(
    unet: Any,
    whole: Any,
    plans: list[PruningPlan],
    samples: CalibrationSamples,
    earlier: Earlier | None,
) -> list[PruningPlan]:
    """The plans, the one that changes the outputs least first; each says how much it does."""
    wanted = samples.outputs(whole)
    judged = [_judged(unet, plan, samples, wanted, earlier) for plan in plans]
    return [plan for _, plan in sorted(judged, key=lambda entry: entry[0])]


def _width_plans(
    unet: Any,
    config: PruneConfig,
    structure: PrunableStructure,
    inputs: PlanInputs,
    earlier: Earlier | None,
) -> Iterator[PruningPlan | UnreachableTarget]:
    """A plan for each allocation that is asked for, or why there is none."""
    target = inputs.cost_target(structure, config)
    scores = scores_of(unet, config, structure, samples=inputs.samples, earlier=earlier)
    for allocation in (
        ALLOCATIONS if config.choice.allocation == "best" else (config.choice.allocation,)
    ):
        make = partial(
            width_plan, config, structure, target, scores, allocation=allocation, earlier=earlier
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
    samples: CalibrationSamples,
    wanted: list[Tensor],
    earlier: Earlier | None,
) -> tuple[float, PruningPlan]:
    """What a plan does to the outputs before any training, and the plan that says so."""
    loss = samples.distance(pruned_copy(unet, plan, earlier), wanted)
    if plan.stats is None:
        return loss, plan
    return loss, replace(plan, stats=replace(plan.stats, predicted_loss=loss))


def _depths(
    unet: Any, config: PruneConfig, structure: PrunableStructure, inputs: PlanInputs
) -> Iterator[PrunableStructure]:
    """The depths to complete to plans, none dropped first."""
    if config.choice.mode == "width" or inputs.samples is None:
        yield structure
        return
    if config.choice.mode == "both":
        yield structure
    # which modules go is clear from few samples; which channels go is not
    drops = list(_greedy(unet, config, structure, inputs, inputs.samples.few()))
    if config.choice.mode == "depth":
        drops = drops[-1:] or [{}]
    elif len(drops) > MOST_DEPTHS:
        places = np.linspace(0, len(drops) - 1, MOST_DEPTHS).astype(int)
        drops = [drops[place] for place in places]
    for dropped in drops:
        kept = config.choice.protect
        yield analyze_again(unet, structure, tokens=inputs.tokens, dropped=dropped, protect=kept)


def _greedy(
    unet: Any,
    config: PruneConfig,
    structure: PrunableStructure,
    inputs: PlanInputs,
    samples: CalibrationSamples,
) -> Iterator[Mapping[str, DropKind]]:
    """Drop modules one by one, the least change of the outputs for its saving first.

    Yields what is dropped after each. Candidates are measured alone; one that would overshoot the
    target is passed over.
    """
    wanted = samples.outputs(unet)

    def cost(dropped: Mapping[str, DropKind]) -> float:
        left = replace(structure, costs=structure.costs.without(goes_with(dropped)))
        return float(inputs.cost_target(left, config).cost(structure.costs.sizes))

    target, whole = inputs.cost_target(structure, config).value, cost({})
    ranked = []
    for candidate in depth_candidates(unet, protected_layers(unet, config.choice.protect)):
        if structure.inner_only and "layer" in candidate.dropped.values():
            continue  # it hands on a map that a ControlNet adds to
        saved = whole - cost(candidate.dropped)
        if saved > 0:
            change = samples.distance(without(unet, candidate.dropped).eval(), wanted)
            ranked.append((change / saved, candidate.name, candidate))
    dropped: dict[str, DropKind] = {}
    for _, _, candidate in sorted(ranked, key=lambda entry: entry[:2]):
        more = joined(unet, dropped, candidate.dropped)
        if more is not None and cost(more) >= target:
            dropped = more
            yield dict(dropped)
