"""Latency targets: the table of blocks, measured plans, noise, a busy machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeswap_compress._pruning_errors import PruningError, TooNoisy, UnreachableTarget
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import noise_samples
from edgeswap_compress.prune.config import PruneConfig, PruneTarget
from edgeswap_compress.prune.latency import target, timing
from edgeswap_compress.prune.latency.table import LatencyTable, measure_latencies
from edgeswap_compress.prune.latency.target import MeasuredRatio, build_measured_plan, seeded_inputs
from edgeswap_compress.prune.search.choice import PlanInputs, build_plan
from edgeswap_compress.prune.search.replay import pruned_copy
from edgeswap_compress.prune.structure._families import tiny_unet
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze
from edgeswap_runtime.timing import interleave

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
    config = PruneConfig(target=PruneTarget(latency_ratio=0.6))
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
            PruneConfig(target=PruneTarget(latency_ratio=0.6)),
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
            PruneConfig(target=PruneTarget(latency_ratio=0.6)),
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
            PruneConfig(target=PruneTarget(latency_ratio=0.6)),
            known(),
            inputs=replace(plan_inputs(), latencies=latencies()),
            timer=timer,
            clock=lambda: 100.0 * len(timed),
        )


def work(units: int) -> int:
    """Work whose time is in proportion to its units, about a tenth of a millisecond each."""
    return sum(i & 3 for i in range(units * 2000))


@pytest.fixture
def busy_neighbor() -> Iterator[None]:
    """Another process that never rests, on the one core that this process keeps to."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if cores is not None:
        os.sched_setaffinity(0, {min(cores)})  # which the new process inherits
    program = "print('busy', flush=True)\nfor _ in range(10**12): pass"
    try:
        with subprocess.Popen([sys.executable, "-S", "-c", program], stdout=-1) as neighbor:
            assert neighbor.stdout is not None and neighbor.stdout.readline()
            yield
            assert neighbor.poll() is None  # it was there all the time
            neighbor.kill()
    finally:
        if cores is not None:
            os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("busy_neighbor")
def test_a_busy_neighbor_changes_times_but_not_their_ratio() -> None:
    wall_s, own_s = time.perf_counter(), time.process_time()
    times = interleave({"before": partial(work, 6), "after": partial(work, 3)}, 60)
    wall_s, own_s = time.perf_counter() - wall_s, time.process_time() - own_s
    if hasattr(os, "sched_getaffinity"):
        assert own_s < 0.8 * wall_s  # the neighbor did take the core
    measured = MeasuredRatio.of(times["before"].tolist(), times["after"].tolist())
    assert measured.rounds == 60
    assert measured.ratio == pytest.approx(0.5, rel=max(0.15, 2 * measured.noise))


def test_a_latency_target_needs_a_table() -> None:
    with pytest.raises(PruningError, match="a latency target needs a table of latencies"):
        build_plan(
            unet(),
            PruneConfig(target=PruneTarget(latency_ratio=0.5)),
            known(),
            inputs=plan_inputs(),
        )


def test_what_is_timed_are_both_unets_on_the_same_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = pruned_copy(unet(), plan_for(macs_ratio=0.3))
    outputs: dict[str, Any] = {}

    def in_turns(sessions: Any, rounds: int, *, most_s: float) -> dict[str, Any]:
        assert rounds == 7
        outputs.update({name: evaluate() for name, evaluate in sessions.items()})
        return {"before": np.array([4.0, 5, 4, 9]), "after": np.array([1.0, 1, 7, 2])}

    monkeypatch.setattr(target, "interleave", in_turns)
    found = target.latency_ratio(unet(), smaller, tokens=TOKENS, runs=7)
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
