"""Choosing a plan: targets, depths, allocations, protected modules, tables, rounds of plans."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from edgeswap_compress._macs import count_macs
from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.plan.depth import without
from edgeswap_compress.plan.expand import expanded
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import noise_samples
from edgeswap_compress.prune.config import PruneChoice, PruneConfig, PruneTarget
from edgeswap_compress.prune.search.choice import PlanInputs, build_plan
from edgeswap_compress.prune.search.replay import Earlier, pruned_copy
from edgeswap_compress.prune.structure._families import tiny_unet
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze
from edgeswap_compress.prune.structure.candidates import depth_candidates, goes_with
from edgeswap_compress.prune.structure.costs import cost_model

TOKENS = 5


@cache
def unet() -> Any:
    return tiny_unet("sd1")


@cache
def known() -> PrunableStructure:
    return analyze(unet(), tokens=TOKENS)


@cache
def calibration() -> CalibrationSamples:
    return noise_samples(unet().config, tokens=TOKENS, samples=4, seed=0)


@cache
def plan_inputs() -> PlanInputs:
    return PlanInputs(tokens=TOKENS, samples=calibration())


def plan_for(**settings: Any) -> PruningPlan:
    return build_plan(unet(), PruneConfig.from_json(settings), known(), inputs=plan_inputs())


def loss_of(plan: PruningPlan) -> float:
    assert plan.stats is not None and plan.stats.predicted_loss is not None
    return plan.stats.predicted_loss


def test_a_parameter_target_is_met_and_counted() -> None:
    plan = plan_for(params_ratio=0.4)
    pruned = pruned_copy(unet(), plan)
    before, after = (sum(p.numel() for p in model.parameters()) for model in (unet(), pruned))
    assert after / before == pytest.approx(0.4, rel=0.05)
    assert plan.stats is not None and plan.stats.target == "params"
    assert plan.stats.macs_ratio == plan.stats.macs_after / plan.stats.macs_before


def test_the_predicted_loss_is_the_change_of_the_outputs() -> None:
    plan = plan_for(macs_ratio=0.5)
    pruned, total = pruned_copy(unet(), plan), 0.0
    with torch.no_grad():
        for number, batch in enumerate(calibration().batches):
            given = calibration().inputs(batch, calibration().steps(number))
            total += float((pruned(**given).sample - unet()(**given).sample).square().mean())
    assert loss_of(plan) == pytest.approx(total / len(calibration().batches), rel=1e-4)


def test_the_best_of_several_scopes_and_depths_wins() -> None:
    single = [
        plan_for(macs_ratio=0.6, allocation=allocation)
        for allocation in ("share", "uniform", "global")
    ]
    best = plan_for(macs_ratio=0.6, allocation="best")
    assert loss_of(best) == pytest.approx(min(map(loss_of, single)))
    assert len({plan.stats and plan.stats.predicted_loss for plan in single}) == 3
    mixed = plan_for(macs_ratio=0.6, mode="both", allocation="best")
    assert loss_of(mixed) <= loss_of(best)


def test_depth_drops_modules_and_widths_do_the_rest() -> None:
    plan = plan_for(macs_ratio=0.6, mode="depth")
    assert plan.dropped and plan.stats is not None
    inputs = example_inputs(unet().config, tokens=TOKENS, device="cpu")
    left = count_macs(pruned_copy(unet(), plan), inputs)
    assert left == plan.stats.macs_after
    assert left / count_macs(unet(), inputs) == pytest.approx(0.6, rel=0.05)


def test_dropping_takes_its_own_layers_off_the_bill_and_no_others() -> None:
    inputs = example_inputs(unet().config, tokens=TOKENS)
    candidates = depth_candidates(unet())
    assert {kind for entry in candidates for kind in entry.dropped.values()} == {
        "identity", "shortcut", "layer",
    }  # fmt: skip
    for entry in candidates[::3] + candidates[-1:]:
        left = known().costs.without(goes_with(entry.dropped))
        exact = cost_model(without(known().meta_copy, entry.dropped), inputs, ())
        sizes = known().costs.sizes
        assert int(left.macs(sizes)) == int(exact.macs([])), entry.name
        assert int(left.parameters(sizes)) == int(exact.parameters([])), entry.name


def test_protected_modules_stay_bit_for_bit() -> None:
    config = PruneConfig(
        target=PruneTarget(macs_ratio=0.7),
        choice=PruneChoice(mode="both", protect=("mid_block", "up_blocks.*.attn2")),
    )
    plan = build_plan(unet(), config, inputs=plan_inputs())
    named = (*plan.layers, *plan.dropped, *plan.heads)
    assert named
    for name in named:
        assert not name.startswith("mid_block")
        assert not (name.startswith("up_blocks") and "attn2" in name)
    after = pruned_copy(unet(), plan).state_dict()
    for name, tensor in unet().state_dict().items():
        if name.startswith("mid_block"):
            assert torch.equal(after[name], tensor), name


def test_a_pattern_that_protects_nothing_is_refused() -> None:
    with pytest.raises(PruningError, match="the pattern 'middle' protects nothing"):
        build_plan(
            unet(),
            PruneConfig(
                target=PruneTarget(macs_ratio=0.5), choice=PruneChoice(protect=("middle",))
            ),
        )


@pytest.mark.parametrize("settings", [{"mode": "depth"}, {"mode": "both"}, {"allocation": "best"}])
def test_choosing_without_samples_is_refused(settings: dict[str, Any]) -> None:
    config = PruneConfig.from_json({"macs_ratio": 0.5, **settings})
    with pytest.raises(PruningError, match="there are no samples: name a rendered dataset with"):
        build_plan(unet(), config, known())


@pytest.mark.parametrize("importance", ["taylor", "diff-pruning"])
def test_an_importance_without_the_samples_it_needs_is_refused(importance: str) -> None:
    config = PruneConfig(
        target=PruneTarget(macs_ratio=0.5), choice=PruneChoice(importance=importance)
    )
    with pytest.raises(PruningError, match=f"importance '{importance}' measures a loss"):
        build_plan(unet(), config, known())


def test_expanding_puts_pruned_weights_back_where_they_were() -> None:
    plan = plan_for(macs_ratio=0.5, mode="both", allocation="global")
    pruned = pruned_copy(unet(), plan)
    whole = expanded(pruned, plan)
    assert {n: t.shape for n, t in whole.state_dict().items()} == {
        n: t.shape for n, t in unet().state_dict().items()
    }
    again = pruned_copy(whole, plan).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in pruned.state_dict().items())


@pytest.mark.parametrize("importance", ["magnitude", "random", "taylor"])
def test_a_second_round_removes_more_and_brings_nothing_back(importance: str) -> None:
    config = PruneConfig(
        target=PruneTarget(macs_ratio=0.7), choice=PruneChoice(importance=importance)
    )
    first = build_plan(unet(), config, known(), inputs=plan_inputs())
    once = pruned_copy(unet(), first)
    earlier = Earlier(plan=first, original=unet())
    second = build_plan(
        once,
        replace(config, target=PruneTarget(macs_ratio=0.4)),
        known(),
        inputs=plan_inputs(),
        earlier=earlier,
    )
    assert second.stats is not None and second.layers.keys() >= first.layers.keys()
    assert second.stats.macs_after / second.stats.macs_before == pytest.approx(0.4, rel=0.05)
    for name, cut in first.layers.items():
        for side in ("out", "inp"):
            kept, before = getattr(second.layers[name], side), getattr(cut, side)
            assert before is None or set(kept.kept) <= set(before.kept), name
    twice = pruned_copy(once, second, earlier)
    direct = pruned_copy(unet(), second).state_dict()
    assert all(torch.equal(direct[name], tensor) for name, tensor in twice.state_dict().items())
