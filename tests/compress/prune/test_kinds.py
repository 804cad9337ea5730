"""Prune checkpoints of every kind: adapters, one token, a ControlNet beside the U-Net."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edgeswap_compress.checkpoint import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint._tiny_kinds import KINDS, tiny_kind
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune import PruneChoice, PruneConfig, PruneTarget, prune
from edgeswap_compress.prune.structure.analysis import analyze
from edgeswap_runtime.cli import main

RATIO = 0.7
PLAN = ("--macs-ratio", str(RATIO), "--round-to", "4")


def to_ratio(macs_ratio: float) -> PruneConfig:
    return PruneConfig(target=PruneTarget(macs_ratio=macs_ratio), choice=PruneChoice(round_to=4))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("prune-kinds")
    return {k: tiny_kind(k, folder / f"{k}-files").save(folder / k) for k in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pruned_checkpoint_is_one_of_its_kind(
    kind: str, whole: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pruned"
    assert main(["prune", str(whole[kind]), str(out), *PLAN, "--latency-runs", "0", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert RATIO - 0.08 < facts["ratio"]["macs"] <= RATIO + 0.05
    before, after = Checkpoint.load(whole[kind]), Checkpoint.load(out)
    assert after.swap.conditions == before.swap.conditions
    assert after.swap.attention == before.swap.attention
    assert set(after.parts) == set(before.parts)
    assert (after.controlnet is None) == (kind != "instantid")
    generator = torch.Generator().manual_seed(0)
    target, source = (torch.rand(1, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    noise = torch.randn(1, 4, 8, 8, generator=generator)
    with torch.no_grad():
        crops = SwapPipeline.from_checkpoint(after)(target, source, noise=noise).crops
    assert torch.isfinite(crops).all() and crops.std() > 0.01
    assert main(["inspect", str(out), "--verify"]) == 0


def test_adapter_projections_are_cut_with_their_heads(
    whole: dict[str, Path], tmp_path: Path
) -> None:
    out = prune(whole["faceid"], to_ratio(0.6), tmp_path / "pruned")
    plan = PruningPlan.from_json(json.loads((out / "unet" / "pruning.json").read_text()))
    adapters = [name for name in plan.layers if name.endswith("processor.to_k_ip.0")]
    assert adapters
    for name in adapters:
        attention = name.removesuffix(".processor.to_k_ip.0")
        cuts = [plan.layers[f"{attention}.{part}"].out for part in ("to_q", "to_k", "to_v")]
        assert all(cut == plan.layers[name].out for cut in cuts)
        assert plan.layers[name].inp is None  # the width of the tokens stays


def test_beside_a_controlnet_only_inner_channels_go(whole: dict[str, Path]) -> None:
    unet = Checkpoint.load(whole["instantid"]).unet
    free, beside = analyze(unet, tokens=5), analyze(unet, tokens=5, inner_only=True)
    names = {group.name for group in beside.groups}
    assert names < {group.name for group in free.groups}
    handed_on = {"conv_in", "down_blocks.0.downsamplers.0.conv"}
    assert handed_on & {group.name for group in free.groups} and not handed_on & names
    assert all(group.is_chain or group.attention for group in beside.groups)


def test_a_pruned_instantid_still_fits_its_controlnet(
    whole: dict[str, Path], tmp_path: Path
) -> None:
    config = to_ratio(0.8)
    pruned = Checkpoint.load(prune(whole["instantid"], config, tmp_path / "pruned"))
    unet = Checkpoint.load(whole["instantid"]).unet
    assert pruned.unet.conv_in.out_channels == unet.conv_in.out_channels
    assert pruned.plan is not None and "layer" not in pruned.plan.dropped.values()


def test_recovery_of_an_adapter_is_refused_in_one_line(
    whole: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["prune", str(whole["faceid"]), str(tmp_path / "out"), *PLAN, "--recover-minutes", "1"]
    assert main([*line, "--data", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
