"""Replaying hand-written plans: what they cut, what they refuse, what they leave unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeswap_compress._pruning_errors import BadPlan, UnsupportedModel
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.plan.layers import cut
from edgeswap_compress.plan.plan import Axis, LayerCut, PruningPlan

RESNET = "down_blocks.0.resnets.0"  # 16 channels in 4 groups
TRANSFORMER = "mid_block.attentions.0.transformer_blocks.0"
ATTENTION = f"{TRANSFORMER}.attn1"  # 4 heads of 8
FEED_FORWARD = f"{TRANSFORMER}.ff.net"  # 128 units
ALL_HEADS, ALL_UNITS, ALL_INNER = 4, 128, 16


@cache
def original() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            block_out_channels=(16, 32),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=8,
            attention_head_dim=ALL_HEADS,
            resnet_time_scale_shift="scale_shift",
            norm_num_groups=4,
        ).eval()


def axis(kept: Any, of: int) -> Axis:
    return Axis(of=of, kept=tuple(sorted(kept)))


def inner_plan(kept: Any, groups: Mapping[str, int] | None = None) -> PruningPlan:
    """Keeps some of the first resnet's inner channels."""
    inner = axis(kept, ALL_INNER)
    both = axis([*inner.kept, *(ALL_INNER + i for i in inner.kept)], 2 * ALL_INNER)
    return PruningPlan(
        layers={
            f"{RESNET}.conv1": LayerCut(out=inner),
            f"{RESNET}.norm2": LayerCut(out=inner),
            f"{RESNET}.conv2": LayerCut(inp=inner),
            f"{RESNET}.time_emb_proj": LayerCut(out=both),
        },
        groups=groups or {},
    )


def heads_plan(heads: Any) -> PruningPlan:
    channels = axis([head * 8 + i for head in heads for i in range(8)], 32)
    projections = {f"{ATTENTION}.to_{x}": LayerCut(out=channels) for x in "qkv"}
    return PruningPlan(
        layers={**projections, f"{ATTENTION}.to_out.0": LayerCut(inp=channels)},
        heads={ATTENTION: tuple(sorted(heads))},
    )


def units_plan(units: Any) -> PruningPlan:
    kept = axis(units, ALL_UNITS)
    both = axis([*kept.kept, *(ALL_UNITS + i for i in kept.kept)], 2 * ALL_UNITS)
    return PruningPlan(
        layers={
            f"{FEED_FORWARD}.0.proj": LayerCut(out=both),
            f"{FEED_FORWARD}.2": LayerCut(inp=kept),
        }
    )


@cache
def inputs() -> dict[str, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return example_inputs(original().config, tokens=3, batch=2, device="cpu")


def run(unet: Any) -> Tensor:
    with torch.no_grad():
        output: Tensor = unet(**inputs()).sample
    return output


def silenced(reader: str, columns: Any) -> Any:
    """A copy in which one layer does not read the given input channels."""
    unet = deepcopy(original())
    with torch.no_grad():
        unet.get_submodule(reader).weight[:, list(columns)] = 0
    return unet


def some_of(count: int) -> st.SearchStrategy[set[int]]:
    return st.sets(st.integers(0, count - 1), min_size=1, max_size=count - 1)


@settings(max_examples=8, deadline=None)
@given(some_of(ALL_UNITS))
def test_feed_forward_units_that_nothing_reads_change_nothing(units: set[int]) -> None:
    unet = silenced(f"{FEED_FORWARD}.2", set(range(ALL_UNITS)) - units)
    expected = run(unet)
    assert (run(apply_plan(unet, units_plan(units))) - expected).abs().max() <= 1e-5


@settings(max_examples=8, deadline=None)
@given(some_of(ALL_HEADS))
def test_heads_that_nothing_reads_change_nothing(heads: set[int]) -> None:
    lost = [head * 8 + i for head in set(range(ALL_HEADS)) - heads for i in range(8)]
    unet = silenced(f"{ATTENTION}.to_out.0", lost)
    expected = run(unet)
    assert (run(apply_plan(unet, heads_plan(heads))) - expected).abs().max() <= 1e-5


@settings(max_examples=8, deadline=None)
@given(some_of(4))
def test_norm_groups_that_nothing_reads_change_nothing(groups: set[int]) -> None:
    kept = {group * 4 + i for group in groups for i in range(4)}
    unet = silenced(f"{RESNET}.conv2", set(range(ALL_INNER)) - kept)
    expected = run(unet)
    plan = inner_plan(kept, {f"{RESNET}.norm2": len(groups)})
    assert (run(apply_plan(unet, plan)) - expected).abs().max() <= 1e-5


def test_weights_biases_and_attributes_are_cut() -> None:
    kept = [0, 1, 4, 5, 8, 9, 12, 13]
    unet = apply_plan(deepcopy(original()), inner_plan(kept))
    resnet, whole = unet.get_submodule(RESNET), original().get_submodule(RESNET)
    assert torch.equal(resnet.conv1.weight, whole.conv1.weight[kept])
    assert torch.equal(resnet.conv1.bias, whole.conv1.bias[kept])
    assert torch.equal(resnet.conv2.weight, whole.conv2.weight[:, kept])
    assert torch.equal(resnet.conv2.bias, whole.conv2.bias)
    assert resnet.conv1.weight.requires_grad
    assert (resnet.conv1.out_channels, resnet.conv2.in_channels) == (8, 8)
    assert (resnet.norm2.num_channels, resnet.norm2.num_groups) == (8, 4)
    assert (resnet.in_channels, resnet.out_channels) == (16, 8)
    assert unet.config.block_out_channels == (16, 32)


def test_attention_attributes_are_mended() -> None:
    attention = apply_plan(deepcopy(original()), heads_plan([0, 3])).get_submodule(ATTENTION)
    assert (attention.heads, attention.inner_dim, attention.inner_kv_dim) == (2, 16, 16)
    assert (attention.sliceable_head_dim, attention.query_dim, attention.out_dim) == (2, 32, 32)


def layers(plan: PruningPlan, **changes: LayerCut) -> PruningPlan:
    """The plan with entries replaced; a name's dots are written as double underscores."""
    renamed = {name.replace("__", "."): value for name, value in changes.items()}
    return PruningPlan(layers={**plan.layers, **renamed}, heads=plan.heads, groups=plan.groups)


EIGHT = range(8)
REFUSED: dict[str, tuple[PruningPlan, str]] = {
    "unknown layer": (
        PruningPlan(layers={"down_blocks.7.conv": LayerCut(out=axis(EIGHT, 16))}),
        r"down_blocks\.7\.conv: this UNet2DConditionModel has no such layer",
    ),
    "unknown attention": (
        PruningPlan(layers={}, heads={"mid_block.attn": (0,)}),
        r"mid_block\.attn: this UNet2DConditionModel has no such layer",
    ),
    "unknown norm": (
        PruningPlan(layers={}, groups={"norm": 2}),
        r"norm: this UNet2DConditionModel has no such layer",
    ),
    "another length": (
        PruningPlan(layers={"conv_in": LayerCut(out=axis(EIGHT, 32))}),
        r"conv_in \(out\): made for a length of 32, found 16; use the original U-Net",
    ),
    "a norm's input": (
        PruningPlan(layers={"conv_norm_out": LayerCut(inp=axis(EIGHT, 16))}),
        r"conv_norm_out \(in\): a GroupNorm has only the axis 'out'",
    ),
    "a misaligned norm": (
        inner_plan(range(10)),
        rf"{RESNET}\.norm2: 10 channels do not divide into 4 groups",
    ),
    "wrong new groups": (
        inner_plan(range(10), {f"{RESNET}.norm2": 3}),
        rf"{RESNET}\.norm2: 10 channels do not divide into 3 groups",
    ),
    "groups of what has none": (
        inner_plan(EIGHT, {f"{RESNET}.conv1": 2}),
        rf"{RESNET}\.conv1: has groups in the plan but is a Conv2d",
    ),
    "heads of what has none": (
        PruningPlan(layers={}, heads={"conv_in": (0,)}),
        r"conv_in: has heads in the plan but is a Conv2d",
    ),
    "a head too many": (
        PruningPlan(layers={}, heads={ATTENTION: (0, 4)}),
        rf"{ATTENTION}: keeps head 4, but its heads are 0\.\.3",
    ),
    "a split head": (
        layers(heads_plan([0, 1]), **{f"{ATTENTION}.to_k": LayerCut(out=axis(range(4, 20), 32))}),
        rf"{ATTENTION}\.to_k \(out\): splits a head: keep exactly the 8 of each kept head",
    ),
    "heads not stated": (
        PruningPlan(layers=heads_plan([0, 1]).layers),
        rf"{ATTENTION}: {ATTENTION}\.to_q is cut but no kept heads are stated",
    ),
    "heads stated but not cut": (
        PruningPlan(layers={}, heads={ATTENTION: (0, 1)}),
        rf"{ATTENTION}\.to_q \(out\): splits a head",
    ),
    "a resnet that does not fit": (
        layers(inner_plan(EIGHT), **{f"{RESNET}.conv2": LayerCut(inp=axis(range(8, 16), 16))}),
        rf"{RESNET}\.conv2 \(in\): keeps 8 indices that are not the 8 of {RESNET}\.conv1 \(out\)",
    ),
    "a scale without its shift": (
        layers(inner_plan(EIGHT), **{f"{RESNET}.time_emb_proj": LayerCut(out=axis(range(16), 32))}),
        rf"{RESNET}\.time_emb_proj \(out\): keeps 16 .* in each of 2 parts",
    ),
    "a residual that does not fit": (
        PruningPlan(layers={f"{RESNET}.conv2": LayerCut(out=axis(EIGHT, 16))}),
        rf"{RESNET}\.conv2 \(out\): differs from the block's input, which is added to it",
    ),
    "a gate without its value": (
        layers(units_plan(EIGHT), **{f"{FEED_FORWARD}.0.proj": LayerCut(out=axis(range(16), 256))}),
        rf"{FEED_FORWARD}\.0\.proj \(out\): keeps 16 .* in each of 2 parts",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_plan_that_does_not_fit_is_refused_and_nothing_is_cut(case: str) -> None:
    plan, message = REFUSED[case]
    unet = deepcopy(original())
    with pytest.raises(BadPlan, match=message):
        apply_plan(unet, plan)
    before, after = original().state_dict(), unet.state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())


def test_a_layer_under_two_names_is_cut_once() -> None:
    # diffusers registers one convolution as both "Conv2d_0" and "conv" in some samplers
    unet = nn.Module()
    unet.first = unet.second = nn.Linear(4, 4)
    half = LayerCut(out=axis([0, 1], 4))
    with pytest.raises(BadPlan, match="second: is the same layer as first; name it once"):
        apply_plan(unet, PruningPlan(layers={"first": half, "second": half}))


def test_layers_of_other_kinds_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match=r"down_blocks\.0 is a DownBlock2D; pruning cuts"):
        apply_plan(
            deepcopy(original()),
            PruningPlan(layers={"down_blocks.0": LayerCut(out=axis([0], 4))}),
        )
    with pytest.raises(UnsupportedModel, match="depthwise is a convolution in 4 groups"):
        cut("depthwise", nn.Conv2d(4, 4, 1, groups=4), "out", (0,))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.ConvTranspose2d(4, 6, 2), (3, 2, 2, 2)),
        (nn.Conv1d(4, 6, 1), (2, 3, 1)),
        (nn.Linear(4, 6), (2, 3)),
    ],
)
def test_both_axes_of_every_kind_of_layer_can_be_cut(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    layer = deepcopy(layer)
    cut("layer", layer, "out", (0, 5))
    cut("layer", layer, "in", (0, 1, 3))
    assert tuple(layer.weight.shape) == shape
    assert tuple(layer.bias.shape) == (2,)


def test_embeddings_and_norms_without_weights_can_be_cut() -> None:
    embedding, norm = nn.Embedding(3, 4), nn.LayerNorm(4, elementwise_affine=False)
    cut("embedding", embedding, "out", (1, 2))
    cut("norm", norm, "out", (1, 2))
    assert embedding(torch.tensor([0])).shape == (1, 2)
    assert norm(torch.ones(1, 2)).shape == (1, 2)
