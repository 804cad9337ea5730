"""Prune checkpoints of every kind: adapters, one token, a ControlNet beside the U-Net."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from edgeswap_compress.checkpoint import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint._tiny_kinds import KINDS, tiny_kind
from edgeswap_compress.data import open_pictures
from edgeswap_compress.fit.config import FitBudget, FitOptions
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.material.encode import encode_pictures
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.fit.pairing import pairing_of
from edgeswap_compress.plan.plan import PruningPlan
from edgeswap_compress.prune import PruneChoice, PruneConfig, PruneTarget, prune
from edgeswap_compress.prune._calibration_samples import swap_samples
from edgeswap_compress.prune.config import RecoverConfig, RecoverLosses
from edgeswap_compress.prune.recover.objective import RecoverData, RecoverObjective
from edgeswap_compress.prune.search.replay import pruned_copy
from edgeswap_compress.prune.stage import PruneFiles
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


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_recovers_from_photographs(
    kind: str, whole: dict[str, Path], people: Path, tmp_path: Path
) -> None:
    """The unpruned model answers: the pruned U-Net is nearer to it after than before."""
    run, teacher = tmp_path / "run", Checkpoint.load(whole[kind])
    choice = PruneChoice(round_to=4, importance="taylor")
    config = PruneConfig(target=PruneTarget(macs_ratio=RATIO), choice=choice, samples=8)
    recover = RecoverConfig(
        budget=FitBudget(samples=160),
        fit=FitOptions(batch_size=8, learning_rate=2e-3, dtype="float32", device="cpu"),
        losses=RecoverLosses(truth_weight=0.0, feature_weight=0.1),  # a random model knows no truth
    )
    out = prune(whole[kind], config, tmp_path / "out", files=PruneFiles(data=people, run=run),
                recover=recover)  # fmt: skip
    after = Checkpoint.load(out)
    assert after.plan is not None and after.plan.stats is not None
    assert after.plan.stats.importance == "taylor"
    samples = swap_samples(teacher, open_pictures(people), samples=16, seed=1)
    wanted = samples.outputs(teacher.unet)
    sliced = pruned_copy(teacher.unet, after.plan, None)
    assert samples.distance(after.unet, wanted) < 0.9 * samples.distance(sliced, wanted)
    assert (run / "latents-features.safetensors").exists()
    row = json.loads((run / "round-1/fit/metrics.jsonl").read_text().splitlines()[-1])
    assert {"held_out_to_teacher", "held_out_to_truth", "to_truth"} <= set(row)
    assert "identity_loss" not in row
    assert after.scheduler.config.prediction_type == "epsilon"
    kept = teacher.vae.state_dict()
    assert all(torch.equal(kept[name], t) for name, t in after.vae.state_dict().items())


def test_timesteps_that_are_never_run_are_not_learned(
    whole: dict[str, Path], tmp_path: Path, people: Path
) -> None:
    """A start at the target with a strength of 0.7 leaves out the noisiest three tenths."""
    pictures, teacher = open_pictures(people), Checkpoint.load(whole["img2img"])
    seen = encode_pictures(
        teacher, pictures, tmp_path / "latents.safetensors", flips=False, report=lambda name: None
    )
    pairs = PairSet(
        known=seen.latents, own=seen.latents, pairing=pairing_of(pictures, 0.5),
        features=seen.features,
    )  # fmt: skip
    config = RecoverConfig(fit=FitOptions(dtype="float32", device="cpu"))
    data = RecoverData(train=pairs, held_out=pairs)
    task = RecoverObjective(teacher, deepcopy(teacher.unet), config, data)
    steps = torch.cat([task._timesteps(Draw.of(0, n), 64) for n in range(8)])
    assert 600 < int(steps.max()) < 700 and int(steps.min()) < 20
    batch = task._batch(pairs, Draw.of(0, 0), 32)
    assert 0 < int(batch.pairs.exact.sum()) < 32
    assert torch.equal(
        batch.pairs.truth[~batch.pairs.exact], batch.pairs.target[~batch.pairs.exact]
    )
    wrong = torch.where(batch.pairs.exact.view(-1, 1, 1, 1), batch.wanted, batch.wanted + 9)
    assert float(batch.to_truth(wrong)) == 0.0  # what nobody knows is not asked for
