"""Integral resampling: what it must leave unchanged, and how channels are ordered."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune.config import PruneChoice, PruneConfig, PruneTarget
from edgeswap_compress.prune.search._resample import overlaps, smooth_order
from edgeswap_compress.prune.search.choice import PlanInputs, build_plan
from edgeswap_compress.prune.search.importance import scores_of
from edgeswap_compress.prune.search.replay import prune_weights, pruned_copy
from edgeswap_compress.prune.search.width_plan import width_plan
from edgeswap_compress.prune.structure._families import tiny_unet
from edgeswap_compress.prune.structure.analysis import analyze

TOKENS = 5


def run(unet: Any) -> Tensor:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        output: Tensor = unet(**example_inputs(unet.config, tokens=TOKENS, device="cpu")).sample
    return output


def half_of_each_chain(unet: Any, config: PruneConfig) -> PruningPlan:
    """Only chains are cut, to half of their channels."""
    known = analyze(unet, tokens=TOKENS)
    known = replace(known, groups=tuple(chosen for chosen in known.groups if chosen.is_chain))
    known = replace(known, costs=costs_of(unet, known.groups))
    floor = float(known.costs.macs([chosen.size // 2 for chosen in known.groups]))
    target = replace(PlanInputs().cost_target(known, config), ratio=floor / known.macs)
    scores = scores_of(unet, config, known)
    return width_plan(config, known, target, scores, allocation="uniform")


def costs_of(unet: Any, sets: Any) -> Any:
    from edgeswap_compress.plan.meta_copy import meta_copy
    from edgeswap_compress.prune.structure.costs import cost_model

    return cost_model(meta_copy(unet), example_inputs(unet.config, tokens=TOKENS), sets)


@torch.no_grad()
def with_duplicates(unet: Any) -> Any:
    """Every inner channel of resnets and feed-forwards beside one exactly like it."""
    copy = deepcopy(unet)
    for name, module in copy.named_modules():
        if name.endswith(".conv1"):
            resnet = copy.get_submodule(name.rpartition(".")[0])
            rows: list[Any] = [resnet.conv1, resnet.norm2, resnet.time_emb_proj]
            reader = resnet.conv2
        elif name.endswith(".net.2"):
            rows, reader = [copy.get_submodule(f"{name.removesuffix('.2')}.0.proj")], module
        else:
            continue
        for layer in rows:
            for values in (layer.weight, layer.bias):
                values[1::2] = values[::2]
        reader.weight[:, 1::2] = reader.weight[:, ::2]
    return copy


@pytest.mark.parametrize("family", ["swap", "ddpm", "sd1"])
def test_duplicates_are_merged_without_a_trace(family: str) -> None:
    unet = with_duplicates(tiny_unet(family))
    config = PruneConfig(target=PruneTarget(macs_ratio=0.5), choice=PruneChoice(resample=True))
    plan = half_of_each_chain(unet, config)
    assert plan.stats is not None and plan.stats.resampled
    assert all(len(plan.layers[name].out.kept) * 2 == plan.layers[name].out.of  # type: ignore[union-attr]
               for name in plan.stats.resampled)  # fmt: skip
    expected = run(unet)
    assert (run(pruned_copy(unet, plan)) - expected).abs().max() <= 1e-5 * expected.abs().max()
    # choosing instead of resampling leaves one of each pair unread, which changes the sums
    chosen = replace(plan, stats=replace(plan.stats, resampled=None))
    assert (run(pruned_copy(unet, chosen)) - expected).abs().max() > 1e-3


def test_a_resampled_plan_says_so_and_replays_to_the_same_weights() -> None:
    unet = tiny_unet("swap")
    plan = build_plan(
        unet,
        PruneConfig(target=PruneTarget(macs_ratio=0.5), choice=PruneChoice(resample=True)),
        analyze(unet, tokens=TOKENS),
    )
    again = PruningPlan.from_json(plan.to_json())
    assert again == plan and plan.stats is not None and plan.stats.resampled
    one, two = (prune_weights(deepcopy(unet), entry).state_dict() for entry in (plan, again))
    assert all(torch.equal(one[name], tensor) for name, tensor in two.items())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.data())
def test_cells_share_out_every_channel(old: int, data: st.DataObject) -> None:
    new = data.draw(st.integers(1, old))
    cells = overlaps(old, new)
    assert cells.shape == (new, old)
    assert torch.allclose(cells.sum(0), torch.ones(old), atol=1e-5)
    assert torch.allclose(cells.sum(1), torch.full((new,), old / new), atol=1e-4)
    assert (old != new) or torch.equal(cells, torch.eye(old))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 24), st.integers(0, 2**31))
def test_an_order_is_a_permutation_no_longer_than_a_greedy_path(n: int, seed: int) -> None:
    points = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    order = smooth_order(points)
    assert sorted(order.tolist()) == list(range(n))

    def length(path: Tensor) -> float:
        return float((points[path[1:]] - points[path[:-1]]).norm(dim=1).sum())

    greedy, left = [int(points.norm(dim=1).argmin())], set(range(n))
    left.discard(greedy[0])
    while left:
        nearest = min(left, key=lambda i: float((points[i] - points[greedy[-1]]).norm()))
        greedy.append(nearest)
        left.discard(nearest)
    assert length(order) <= length(torch.tensor(greedy)) + 1e-4


def test_points_on_a_line_are_put_in_order() -> None:
    line = torch.linspace(0, 1, 30)[torch.randperm(30, generator=torch.Generator().manual_seed(3))]
    found = line[smooth_order(line[:, None])]
    assert nn.functional.relu(-found.diff()).sum() == 0
