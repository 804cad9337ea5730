"""Every supported family of U-Nets: cost met, coupling right, replay identical."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from edgeswap_compress._macs import count_macs
from edgeswap_compress._pruning_errors import UnsupportedModel
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import noise_samples
from edgeswap_compress.prune.config import PruneChoice, PruneConfig, PruneTarget
from edgeswap_compress.prune.search.choice import PlanInputs, build_plan
from edgeswap_compress.prune.search.importance import IMPORTANCES
from edgeswap_compress.prune.structure._families import CONDITIONED, FAMILIES, PLAIN, tiny_unet
from edgeswap_compress.prune.structure._trace import dependency_graph
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup

TOKENS = 5
every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(autouse=True)
def few_timesteps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four timesteps show as well as 32 whether diff-pruning runs on a family."""
    monkeypatch.setattr("edgeswap_compress.prune.search.importance.TIMESTEPS", 4)


@cache
def original(family: str) -> Any:
    """Callers copy before they cut."""
    return tiny_unet(family)


@cache
def structure(family: str) -> PrunableStructure:
    return analyze(original(family), tokens=TOKENS)


@cache
def plan_of(family: str, macs_ratio: float, importance: str) -> PruningPlan:
    config = PruneConfig(
        target=PruneTarget(macs_ratio=macs_ratio), choice=PruneChoice(importance=importance)
    )
    return build_plan(
        original(family),
        config,
        structure(family),
        inputs=PlanInputs(tokens=TOKENS, samples=samples_of(family)),
    )


@cache
def samples_of(family: str) -> CalibrationSamples:
    return noise_samples(original(family).config, tokens=TOKENS, samples=4, seed=0)


@cache
def inputs_of(family: str) -> dict[str, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = original(family).config
        return example_inputs(config, tokens=TOKENS, batch=2, device="cpu")


def run(unet: Any, family: str) -> Tensor:
    with torch.no_grad():
        output: Tensor = unet(**inputs_of(family)).sample
    return output


def gone(kept: tuple[int, ...], of: int) -> list[int]:
    return sorted(set(range(of)) - set(kept))


# The whole grid for the three that differ most, its corners for the rest.
GRID = [
    (family, macs_ratio, importance)
    for family in FAMILIES
    for macs_ratio in (0.3, 0.5, 0.7)
    for importance in IMPORTANCES
    if family in ("swap", "sd1", "ddpm") or (macs_ratio == 0.5) == (importance == "magnitude")
]


@pytest.mark.parametrize(("family", "macs_ratio", "importance"), GRID)
def test_the_ratio_is_met_and_the_pruned_unet_runs(
    family: str, macs_ratio: float, importance: str
) -> None:
    plan = plan_of(family, macs_ratio, importance)
    assert plan.stats is not None
    reached = plan.stats.macs_after / plan.stats.macs_before
    assert reached == pytest.approx(macs_ratio, rel=0.05)
    pruned = apply_plan(deepcopy(original(family)), plan)
    output = run(pruned, family)
    sample = inputs_of(family)["sample"]
    assert output.shape == (2, original(family).config.out_channels, *sample.shape[2:])
    assert output.isfinite().all()
    assert PruningPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@every_family
def test_stated_counts_are_those_of_the_pruned_module(family: str) -> None:
    plan = plan_of(family, 0.5, "magnitude")
    inputs = example_inputs(original(family).config, tokens=TOKENS, device="cpu")
    pruned = apply_plan(deepcopy(original(family)), plan)
    assert plan.stats is not None
    assert plan.stats.macs_before == count_macs(original(family), inputs)
    assert plan.stats.macs_after == count_macs(pruned, inputs)
    assert plan.stats.parameters_before == sum(p.numel() for p in original(family).parameters())
    assert plan.stats.parameters_after == sum(p.numel() for p in pruned.parameters())


@every_family
def test_a_plan_shapes_a_meta_module_like_a_real_one(family: str) -> None:
    kind, config = FAMILIES[family]
    with torch.device("meta"):
        empty = kind(**config)
    plan = plan_of(family, 0.5, "magnitude")
    shapes = [
        {name: tensor.shape for name, tensor in apply_plan(unet, plan).state_dict().items()}
        for unet in (empty, deepcopy(original(family)))
    ]
    assert shapes[0] == shapes[1]


@every_family
def test_replay_equals_torch_pruning_bit_for_bit(family: str) -> None:
    plan = plan_of(family, 0.5, "magnitude")
    replayed = apply_plan(deepcopy(original(family)), plan).state_dict()
    cut = prune_by_torch_pruning(family, plan).state_dict()
    assert cut.keys() == replayed.keys()
    for name, tensor in replayed.items():
        assert torch.equal(cut[name], tensor), name


def prune_by_torch_pruning(family: str, plan: PruningPlan) -> nn.Module:
    """The same channels removed by Torch-Pruning itself, group after group."""
    unet = deepcopy(original(family))
    for module in unet.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())
    graph = dependency_graph(unet, inputs_of(family))
    for chosen in structure(family).groups:
        layer, axis, lost = root_of(chosen, plan)
        module = unet.get_submodule(layer)
        pruner = graph.get_pruner_of_module(module)
        handler = pruner.prune_out_channels if axis == "out" else pruner.prune_in_channels
        if lost:
            graph.get_pruning_group(module, handler, lost).prune()
    return unet


def root_of(chosen: ChannelGroup, plan: PruningPlan) -> tuple[str, str, list[int]]:
    """A convolution's or linear layer's axis that is exactly this set, and what it loses."""
    for member in chosen.members:
        if member.length == chosen.size and "norm" not in member.layer.rpartition(".")[2]:
            cut = plan.layers.get(member.layer)
            axis = None if cut is None else (cut.out if member.axis == "out" else cut.inp)
            return member.layer, member.axis, gone(axis.kept, axis.of) if axis else []
    raise AssertionError(f"{chosen.name} has no root")


@every_family
@pytest.mark.parametrize("importance", IMPORTANCES)
def test_channels_that_nothing_reads_change_nothing(
    family: str, importance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right coupling: where nothing reads the removed channels, removing them changes nothing.

    Norms are reduced to their scale and shift, because their statistics see every channel.
    """
    monkeypatch.setattr(torch.nn.functional, "group_norm", scale_and_shift_channels)
    monkeypatch.setattr(torch.nn.functional, "layer_norm", scale_and_shift_last)
    plan = plan_of(family, 0.5, importance)
    expected = run(blinded(original(family), plan), family)
    found = run(apply_plan(deepcopy(original(family)), plan), family)
    # float32 sums in another order: relative to the largest value, 1e-5 is a few hundred ulps
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def blinded(unet: nn.Module, plan: PruningPlan) -> nn.Module:
    """A copy in its original shape in which no layer reads what the plan removes."""
    copy = deepcopy(unet)
    with torch.no_grad():
        for name, cut in plan.layers.items():
            layer: Any = copy.get_submodule(name)
            if cut.inp is not None:
                layer.weight[:, gone(cut.inp.kept, cut.inp.of)] = 0
            if cut.out is not None and isinstance(layer, nn.GroupNorm | nn.LayerNorm):
                layer.weight[gone(cut.out.kept, cut.out.of)] = 0
                layer.bias[gone(cut.out.kept, cut.out.of)] = 0
    return copy


def scale_and_shift_channels(
    values: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    assert values.shape[1] % groups == 0
    shape = (1, -1) + (1,) * (values.ndim - 2)
    return values * weight.reshape(shape) + bias.reshape(shape)


def scale_and_shift_last(
    values: Tensor, shape: Any, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    assert values.shape[-1] == shape[-1]
    return values * weight + bias


@every_family
def test_protected_widths_stay(family: str) -> None:
    unet = original(family)
    plan = plan_of(family, 0.3, "magnitude")
    embeddings = ("time_embedding", "class_embedding", "add_embedding", "encoder_hid_proj")
    assert not [name for name in plan.layers if name.split(".")[0] in embeddings]
    assert plan.layers["conv_in"].inp is None
    assert plan.layers["conv_out"].out is None
    for name, cut in plan.layers.items():
        if name.endswith(("attn2.to_k", "attn2.to_v", "time_emb_proj")):
            assert cut.inp is None
    assert unet.conv_in.in_channels == unet.config.in_channels


def test_heads_go_whole_and_are_counted() -> None:
    plan = plan_of("swap", 0.3, "magnitude")
    pruned = apply_plan(deepcopy(original("swap")), plan)
    assert plan.heads
    for name, heads in plan.heads.items():
        before = original("swap").get_submodule(name)
        after = pruned.get_submodule(name)
        assert after.heads == len(heads) < before.heads
        assert after.inner_dim // after.heads == before.inner_dim // before.heads


@pytest.mark.parametrize("round_to", [1, 4, 16])
def test_changed_widths_are_aligned(round_to: int) -> None:
    config = PruneConfig(target=PruneTarget(macs_ratio=0.5), choice=PruneChoice(round_to=round_to))
    known = structure("sd1")
    plan = build_plan(original("sd1"), config, known)
    for chosen in known.groups:
        _, _, lost = root_of(chosen, plan)
        if lost:
            assert (chosen.size - len(lost)) % max(round_to, chosen.unit) == 0


def test_norms_keep_their_groups_where_the_target_allows() -> None:
    assert plan_of("sd1", 0.5, "magnitude").groups == {}
    merged = plan_of("a group a channel", 0.3, "magnitude").groups
    pruned = apply_plan(
        deepcopy(original("a group a channel")), plan_of("a group a channel", 0.3, "magnitude")
    )
    assert merged
    for name, groups in merged.items():
        norm = pruned.get_submodule(name)
        assert norm.num_groups == groups < 32
        assert norm.num_channels % groups == 0


def test_the_seed_decides_random_plans_and_only_those() -> None:
    def build(importance: str, seed: int) -> Mapping[str, Any]:
        config = PruneConfig(
            target=PruneTarget(macs_ratio=0.5), choice=PruneChoice(importance=importance), seed=seed
        )
        return build_plan(original("swap"), config, structure("swap")).layers

    assert build("random", 0) == build("random", 0) != build("random", 1)
    assert build("magnitude", 0) == build("magnitude", 1)


def test_processors_and_weights_of_the_original_are_left_alone() -> None:
    unet = original("swap")
    processors = {name: type(p) for name, p in unet.attn_processors.items()}
    weights = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    build_plan(unet, PruneConfig(target=PruneTarget(macs_ratio=0.5)), analyze(unet, tokens=TOKENS))
    assert {name: type(p) for name, p in unet.attn_processors.items()} == processors
    assert all(torch.equal(weights[name], t) for name, t in unet.state_dict().items())


REFUSED: dict[str, tuple[type[Any], dict[str, Any], str]] = {
    "unknown block": (
        UNet2DModel,
        {
            **PLAIN,
            "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
            "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
        },
        r"down_blocks\.0 is a SkipDownBlock2D, which cannot be pruned: expected one of Attn",
    ),
    "unknown part": (
        UNet2DConditionModel,
        {**CONDITIONED, "dual_cross_attention": True},
        r"attentions\.0 is a DualTransformer2DModel, which cannot be pruned",
    ),
    "unknown added conditions": (
        UNet2DConditionModel,
        {**CONDITIONED, "addition_embed_type": "image", "encoder_hid_dim": 8},
        r"addition_embed_type 'image' is not supported: expected None, 'text' or 'text_time'",
    ),
    "unknown token projection": (
        UNet2DConditionModel,
        {**CONDITIONED, "encoder_hid_dim_type": "image_proj", "encoder_hid_dim": 8},
        r"encoder_hid_dim_type 'image_proj' is not supported: expected None or 'text_proj'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_pruned_is_refused_by_name(case: str) -> None:
    kind, config, message = REFUSED[case]
    with torch.device("meta"):
        unet = kind(**config)
    with pytest.raises(UnsupportedModel, match=message):
        analyze(unet)


def test_a_module_that_is_no_unet_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="Linear cannot be pruned: expected a diffusers"):
        analyze(nn.Linear(2, 2))


def test_a_pruned_unet_is_refused() -> None:
    pruned = apply_plan(deepcopy(original("swap")), plan_of("swap", 0.5, "magnitude"))
    with pytest.raises(UnsupportedModel, match=r"conv_in.* expected a U-Net that has not been"):
        analyze(pruned)
