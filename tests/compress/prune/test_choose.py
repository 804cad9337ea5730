"""Choosing a plan: targets, depths, allocations, protected modules, tables, rounds of plans."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgeswap_compress._macs import count_macs
from edgeswap_compress._pruning_errors import PruningError, TooNoisy, UnreachableTarget
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.plan.depth import without
from edgeswap_compress.plan.expand import expanded
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import noise_samples
from edgeswap_compress.prune._config import PruneConfig
from edgeswap_compress.prune.latency import target as _measured
from edgeswap_compress.prune.latency import timing
from edgeswap_compress.prune.latency.table import LatencyTable, measure_latencies
from edgeswap_compress.prune.latency.target import MeasuredRatio, build_measured_plan, seeded_inputs
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
    return build_plan(unet(), PruneConfig(**settings), known(), inputs=plan_inputs())


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
    config = PruneConfig(macs_ratio=0.7, mode="both", protect=("mid_block", "up_blocks.*.attn2"))
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
        build_plan(unet(), PruneConfig(macs_ratio=0.5, protect=("middle",)))


@pytest.mark.parametrize("settings", [{"mode": "depth"}, {"mode": "both"}, {"allocation": "best"}])
def test_choosing_without_samples_is_refused(settings: dict[str, Any]) -> None:
    config = PruneConfig(macs_ratio=0.5, **settings)
    with pytest.raises(PruningError, match="there are no samples: name a rendered dataset with"):
        build_plan(unet(), config, known())


@pytest.mark.parametrize("importance", ["taylor", "diff-pruning"])
def test_an_importance_without_the_samples_it_needs_is_refused(importance: str) -> None:
    config = PruneConfig(macs_ratio=0.5, importance=importance)
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
    config = PruneConfig(macs_ratio=0.7, importance=importance)
    first = build_plan(unet(), config, known(), inputs=plan_inputs())
    once = pruned_copy(unet(), first)
    earlier = Earlier(plan=first, original=unet())
    second = build_plan(
        once, replace(config, macs_ratio=0.4), known(), inputs=plan_inputs(), earlier=earlier
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


def by_macs(sessions: Any) -> dict[Any, float]:
    """A timer that has never heard of a clock: a signature's MACs are about its weights'."""
    times = {}
    for key in sessions:
        shapes = key[1] if key else ()
        times[key] = float(sum(Tensor.numel(torch.empty(shape)) for _, shape in shapes)) or 1e6
    return times


@cache
def latencies() -> LatencyTable:
    return measure_latencies(unet(), known(), seeded_inputs(unet(), TOKENS), timer=by_macs)


def test_a_latency_table_knows_the_whole_and_falls_with_every_width() -> None:
    cost = latencies().cost(known().costs)
    sizes = known().costs.sizes
    assert float(cost(sizes)) == pytest.approx(latencies().whole_ms)
    for position, chosen in enumerate(known().groups):
        smaller = sizes.copy()
        smaller[position] = chosen.widths(round_to=8, keep_groups=False)[-1]
        assert float(cost(smaller)) <= float(cost(sizes))
    assert float(cost([chosen.unit for chosen in known().groups])) < 0.3 * latencies().whole_ms


def test_a_latency_table_survives_its_file_and_refuses_another_unet(tmp_path: Path) -> None:
    latencies().save(tmp_path / "table.json")
    read = LatencyTable.load(tmp_path / "table.json")
    assert read == latencies()
    read.check(known())
    other = analyze(tiny_unet("inpainting"), tokens=TOKENS)
    with pytest.raises(PruningError, match=r"is of another U-Net: .* name another --latency-table"):
        read.check(other)
    (tmp_path / "bad.json").write_text('{"blocks": 3}')
    with pytest.raises(PruningError, match=r"bad\.json is no table of latencies"):
        LatencyTable.load(tmp_path / "bad.json")


def test_a_latency_target_is_corrected_until_the_clock_agrees() -> None:
    config = PruneConfig(latency_ratio=0.6)
    timed = []

    def timer(whole: Any, pruned: Any) -> MeasuredRatio:
        """Ten hundredths slower than the table thinks."""
        sizes = [sum(p.numel() for p in model.parameters()) for model in (pruned, whole)]
        timed.append(0.1 + 0.9 * sizes[0] / sizes[1])
        return MeasuredRatio(ratio=timed[-1])

    plan = build_measured_plan(
        unet(),
        config,
        known(),
        inputs=replace(plan_inputs(), latencies=latencies()),
        timer=timer,
    )
    assert plan.stats is not None and plan.stats.latency_ratio in timed
    assert plan.stats.target == "latency"
    assert plan.stats.latency_ratio == pytest.approx(0.6, rel=0.05)
    assert len(timed) > 1


def test_a_latency_target_that_the_clock_never_grants_is_refused() -> None:
    with pytest.raises(
        UnreachableTarget,
        match=r"a latency ratio of 0\.6 was not met: the nearest of \d plans measured 0\.950",
    ):
        build_measured_plan(
            unet(),
            PruneConfig(latency_ratio=0.6),
            known(),
            inputs=replace(plan_inputs(), latencies=latencies()),
            timer=lambda whole, pruned: MeasuredRatio(ratio=0.95),
        )


def test_a_machine_too_noisy_for_a_latency_target_is_told() -> None:
    """A ratio that happens to be right, but could as well have been another, is no success."""
    timed = []

    def timer(whole: Any, pruned: Any) -> MeasuredRatio:
        timed.append(pruned)
        return MeasuredRatio(ratio=0.61, noise=0.3, rounds=5)

    with pytest.raises(
        TooNoisy,
        match=r"too noisy for a latency ratio of 0\.6: 5 rounds in turns measured 0\.610, give or "
        r"take 30%, expected at most 5%; stop the other programs .* or ask for --macs-ratio",
    ):
        build_measured_plan(
            unet(),
            PruneConfig(latency_ratio=0.6),
            known(),
            inputs=replace(plan_inputs(), latencies=latencies()),
            timer=timer,
        )
    assert len(timed) == 1  # another try could not be told from this one


def test_the_search_for_a_latency_ends_when_its_time_is_up() -> None:
    timed = []

    def timer(whole: Any, pruned: Any) -> MeasuredRatio:
        timed.append(pruned)
        return MeasuredRatio(ratio=0.95)

    with pytest.raises(UnreachableTarget, match="the nearest of 2 plans"):
        build_measured_plan(
            unet(),
            PruneConfig(latency_ratio=0.6),
            known(),
            inputs=replace(plan_inputs(), latencies=latencies()),
            timer=timer,
            clock=lambda: 100.0 * len(timed),
        )


class FakeMachine:
    """A clock that calls push on, as far as they take; every tenth is interrupted."""

    def __init__(self, interruption_ms: float = 0.0) -> None:
        self.now_ns, self.calls, self.interruption_ms = 0, 0, interruption_ms

    def call(self, ms: float) -> Any:
        def run() -> None:
            self.calls += 1
            late = self.interruption_ms if self.calls % 10 == 0 else 0.0
            self.now_ns += int((ms + late) * 1e6)

        return run

    def clock(self) -> int:
        return self.now_ns


@pytest.mark.parametrize(
    ("call_ms", "interruption_ms", "rounds"),
    [(1.0, 0.0, 60), (1.0, 400.0, 60), (1000.0, 0.0, 5), (150.0, 4000.0, 7)],
)
def test_timing_is_bounded_in_rounds_and_in_time(
    call_ms: float, interruption_ms: float, rounds: int
) -> None:
    machine = FakeMachine(interruption_ms)
    calls = {"before": machine.call(call_ms), "after": machine.call(call_ms / 2)}
    times = timing.in_turns_ms(calls, runs=60, most_s=20.0, clock=machine.clock)
    assert {len(found) for found in times.values()} == {rounds}
    round_s = (3 * call_ms + interruption_ms) / 1e3
    assert machine.now_ns / 1e9 <= max(20.0 + round_s, 8 * round_s)
    measured = MeasuredRatio.of(times["before"], times["after"])
    assert measured.ratio == pytest.approx(0.5) and measured.rounds == rounds


def test_a_latency_target_needs_a_table() -> None:
    with pytest.raises(PruningError, match="a latency target needs a table of latencies"):
        build_plan(unet(), PruneConfig(latency_ratio=0.5), known(), inputs=plan_inputs())


def test_what_is_timed_are_both_unets_on_the_same_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = pruned_copy(unet(), plan_for(macs_ratio=0.3))
    outputs: dict[str, Any] = {}

    def in_turns(sessions: Any, *, runs: int, most_s: float) -> dict[str, list[float]]:
        assert runs == 7
        outputs.update({name: evaluate() for name, evaluate in sessions.items()})
        return {"before": [4.0, 5.0, 4.0, 9.0], "after": [1.0, 1.0, 7.0, 2.0]}

    monkeypatch.setattr(_measured, "in_turns_ms", in_turns)
    found = _measured.latency_ratio(unet(), smaller, tokens=TOKENS, runs=7)
    assert found == MeasuredRatio(ratio=0.25, noise=0.25, rounds=4)
    with torch.no_grad():
        for name, model in (("before", unet()), ("after", smaller)):
            wanted = model(**seeded_inputs(unet(), TOKENS)).sample
            assert torch.allclose(torch.from_numpy(outputs[name]), wanted, atol=1e-4)


def test_medians_are_of_evaluations_in_turns_after_the_warm_up() -> None:
    calls: list[str] = []
    sessions = {name: (lambda name=name: calls.append(name)) for name in ("a", "b")}
    found = timing.interleaved_medians_ms(sessions, runs=5)
    assert calls == ["a", "a", "b", "b"] * 8 and found.keys() == sessions.keys()
    # each after an untimed one
    assert all(median_ms > 0 for median_ms in found.values())
