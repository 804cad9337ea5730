"""Rounds and recovery: what is learned, what stays, what continues, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeswap_compress import Checkpoint
from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.data.grid import Group, GroupSettings
from edgeswap_compress.data.shard_files import shard_name, write_shard
from edgeswap_compress.data.shards import KIND, MANIFEST, SCHEMA
from edgeswap_compress.errors import InvalidSettings, TrainingStopped
from edgeswap_compress.fit.config import FitBudget, FitOptions, changed
from edgeswap_compress.fit.latent_cache import LatentGroups
from edgeswap_compress.fit.loop import Cadence, Draw
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.plan.plan_file import read_plan
from edgeswap_compress.prune import PruneChoice, PruneConfig, PruneTarget, prune
from edgeswap_compress.prune.config import RecoverConfig
from edgeswap_compress.prune.recover.objective import RecoverData, RecoverObjective
from edgeswap_compress.prune.search.replay import pruned_copy
from edgeswap_compress.prune.stage import PruneFiles
from edgeswap_compress.prune.structure._families import tiny_unet
from edgeswap_runtime.cli import main
from edgeswap_runtime.files import sha256_file, write_json

ROUNDS = PruneConfig(
    target=PruneTarget(macs_ratio=0.6),
    choice=PruneChoice(importance="taylor", round_to=4),
    samples=8,
    rounds=2,
)
RECOVER = RecoverConfig(budget=FitBudget(samples=24), fit=FitOptions(batch_size=4, dtype="float32"))


def write_dataset(folder: Path, noise: Any) -> Path:
    """A dataset of noise as a rendered one lies on disk."""
    folder.mkdir()
    landmarks = np.zeros((noise.pictures, 5, 2), np.float32)
    groups = [
        Group(images=noise.images(g), masks=np.array(noise.masks(g)), landmarks=landmarks)
        for g in range(len(noise))
    ]
    shard = folder / shard_name(0)
    write_shard(shard, groups)
    settings = GroupSettings(split="train", identities=2, size_px=24)
    names = ("split", "seed", "identities", "size_px", "supersampling")
    entry = {"file": shard.name, "groups": len(groups), "bytes": shard.stat().st_size}
    manifest = {
        "schema": SCHEMA,
        "kind": KIND,
        "renderer_version": 0,
        "assets": {},
        "settings": {name: getattr(settings, name) for name in names},
        "groups": len(groups),
        "groups_per_shard": len(groups),
        "shards": [{**entry, "sha256": sha256_file(shard)}],
    }
    write_json(folder / MANIFEST, manifest)
    return folder


@pytest.fixture
def data(tmp_path: Path, noise_dataset: Any) -> Path:
    return write_dataset(tmp_path / "data", noise_dataset)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(guidance_scale=1.5).save(tmp_path_factory.mktemp("recover") / "whole")


def latents() -> LatentGroups:
    generator = torch.Generator().manual_seed(0)
    return LatentGroups(
        torch.randn(3, 6, 4, 4, 4, generator=generator).half(),
        torch.rand(3, 6, 4, 4, generator=generator).half(),
        2,
    )


def objective(**settings: Any) -> RecoverObjective:
    teacher = tiny_checkpoint()
    pairs = PairSet(known=latents(), own=latents())
    data = RecoverData(train=pairs, held_out=pairs)
    unet = tiny_checkpoint().unet
    return RecoverObjective(teacher, unet, changed(RECOVER, settings), data)


def test_the_unpruned_unet_is_at_no_distance_from_itself() -> None:
    task = objective()
    _, parts = task.loss(Draw.of(0, 0), 8, 0.0)
    assert set(parts) == {"to_truth", "to_teacher", "features", "identity_loss"}
    assert parts["to_teacher"] == pytest.approx(0, abs=1e-10)
    figures = task.evaluate()
    assert figures["held_out_to_teacher"] == pytest.approx(0, abs=1e-10)
    assert figures["held_out_to_truth"] == pytest.approx(figures["held_out_teacher_to_truth"])


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("losses.truth_weight", "to_truth"),
        ("losses.output_weight", "to_teacher"),
        ("losses.feature_weight", "features"),
        ("losses.identity.weight", "identity_loss"),
    ],
)
def test_the_loss_is_the_weighted_sum_of_its_terms(name: str, part: str) -> None:
    terms = ("truth_weight", "output_weight", "feature_weight", "identity.weight")
    alone = {f"losses.{term}": 0.0 for term in terms}
    if name in ("losses.feature_weight", "losses.identity.weight"):
        alone["losses.output_weight"] = 1.0  # which is nothing for the unpruned U-Net
    loss, parts = objective(**{**alone, name: 3.0}).loss(Draw.of(0, 0), 8, 0.0)
    assert float(loss.detach()) == pytest.approx(3 * parts[part], rel=1e-5, abs=1e-9)
    assert part == "to_teacher" or parts[part] > 0


def test_only_the_pruned_unet_and_its_regressors_learn() -> None:
    task = objective()
    loss, _ = task.loss(Draw.of(0, 0), 4, 0.0)
    loss.backward()
    learn = {name for name, p in task.module.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in learn} == {"unet", "features"}
    assert all(p.grad is None for p in task.module.conditioner.parameters())


def test_rounds_end_in_one_plan_with_weights_that_learned(whole: Path, data: Path) -> None:
    out, run = data.with_name("out"), data.with_name("run")
    files = PruneFiles(data=data, held_out=data, run=run)
    assert prune(whole, ROUNDS, out, files=files, recover=RECOVER) == out
    before, after = Checkpoint.load(whole), Checkpoint.load(out)
    plans = [read_plan(run / f"round-{number}" / "pruning.json") for number in (1, 2)]
    assert after.plan == plans[1]
    shares = [plan.stats.macs_after / plan.stats.macs_before for plan in plans if plan.stats]
    assert shares == pytest.approx([0.6**0.5, 0.6], rel=0.05)
    sliced = pruned_copy(before.unet, plans[1]).state_dict()
    learned = [n for n, t in after.unet.state_dict().items() if not torch.equal(t, sliced[n])]
    assert len(learned) > len(sliced) / 2
    for name in ("conditioner", "vae"):
        kept = getattr(before, name).state_dict()
        assert all(torch.equal(kept[n], t) for n, t in getattr(after, name).state_dict().items())
    stage = after.swap.history[-1]
    assert stage["stage"] == "prune" and stage["config"]["rounds"] == 2
    assert stage["config"]["recover"]["budget"]["samples"] == 24
    rows = [
        json.loads(line) for line in (run / "round-2/fit/metrics.jsonl").read_text().splitlines()
    ]
    assert rows[-1]["step"] == 6 and rows[-1]["held_out_to_teacher"] > 0


def test_a_stopped_run_continues_as_if_it_never_had(whole: Path, data: Path) -> None:
    straight, stopped = data.with_name("straight"), data.with_name("stopped")
    config, recover = (
        changed(ROUNDS, {"choice.mode": "both", "choice.allocation": "global"}),
        changed(RECOVER, {"budget.samples": 16}),
    )

    def go(out: Path, cadence: Cadence | None) -> Path | None:
        files = PruneFiles(data=data, run=out.with_suffix(".run"))
        return prune(whole, config, out, files=files, recover=recover, cadence=cadence)

    assert go(straight, None) == straight
    hasty, calls = Cadence(save_s=0.0, stop_after_s=0.0), 0
    while go(stopped, hasty) is None:
        assert not stopped.exists()
        calls += 1
    assert calls >= 4
    for file in (straight / "unet").iterdir():
        assert (stopped / "unet" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_run_goes_on_in_another_dtype(whole: Path, data: Path) -> None:
    files, out = PruneFiles(data=data, run=data.with_name("run")), data.with_name("out")
    config = replace(ROUNDS, rounds=1, samples=4)
    for dtype, stop in (("bfloat16", 0.0), ("float32", None)):
        recover, cadence = changed(RECOVER, {"fit.dtype": dtype}), Cadence(stop_after_s=stop)
        done = prune(whole, config, out, files=files, recover=recover, cadence=cadence)
    assert done == out
    stage = Checkpoint.load(out).swap.history[-1]
    assert stage["config"]["recover"]["fit"]["dtype"] == "bfloat16, float32"


def test_a_run_folder_of_another_call_is_refused(whole: Path, data: Path) -> None:
    files = PruneFiles(data=data, run=data.with_name("run"))
    stop = Cadence(stop_after_s=0.0)
    assert prune(whole, ROUNDS, data.with_name("a"), files=files, recover=RECOVER,
                 cadence=stop) is None  # fmt: skip
    other = changed(ROUNDS, {"target.macs_ratio": 0.5})
    with pytest.raises(TrainingStopped, match="belongs to another pruning: expected the same"):
        prune(whole, other, data.with_name("a"), files=files, recover=RECOVER)


def test_rounds_need_no_recovery_and_no_checkpoint(tmp_path: Path) -> None:
    source = tmp_path / "unet"
    tiny_unet("inpainting").save_pretrained(source)
    config = PruneConfig(target=PruneTarget(macs_ratio=0.5), rounds=2, samples=2)
    out = prune(source, config, tmp_path / "out", files=PruneFiles(run=tmp_path / "run"))
    plan = read_plan(tmp_path / "out" / "pruning.json")
    assert out == tmp_path / "out" and plan.stats is not None
    assert plan.stats.macs_after / plan.stats.macs_before == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"data": None}, "recovery learns from pictures, and there are none"),
        ({"run": None}, "rounds and recovery keep their state: name a folder with --run"),
    ],
)
def test_what_recovery_needs_is_asked_for(
    files: dict[str, Any], message: str, whole: Path, data: Path
) -> None:
    given = PruneFiles(**{"data": data, "run": data.with_name("run"), **files})
    with pytest.raises(PruningError, match=message):
        prune(whole, ROUNDS, data.with_name("out"), files=given, recover=RECOVER)


def test_a_bare_unet_is_not_recovered(tmp_path: Path, data: Path) -> None:
    tiny_unet("inpainting").save_pretrained(tmp_path / "unet")
    files = PruneFiles(data=data, run=tmp_path / "run")
    config = PruneConfig(target=PruneTarget(macs_ratio=0.5), samples=0)
    with pytest.raises(PruningError, match="holds a bare U-Net, which nothing says how to train"):
        prune(tmp_path / "unet", config, tmp_path / "out", files=files, recover=RECOVER)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget.minutes": 0.0}, "minutes 0.0: expected 0.0001 to 100000"),
        ({"fit.dtype": "int8"}, "dtype 'int8': expected one of auto, float32, bfloat16, float16"),
        ({"losses.feature_weight": -1.0}, "feature_weight -1.0: expected 0 to 1000000"),
        ({"losses.identity.weight": -1.0}, "weight -1.0: expected 0 to 1000000"),
        ({"budget.patience": 2}, "recovery has no patience: expected 0"),
        (
            {"losses.truth_weight": 0.0, "losses.output_weight": 0.0},
            "a truth_weight or an output_weight above",
        ),
    ],
)
def test_a_recovery_out_of_range_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((PruningError, InvalidSettings), match=message):
        changed(RecoverConfig(), settings)


def test_the_command_recovers_and_stops_and_continues(
    whole: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = data.with_name("typed")
    command = ["prune", str(whole), str(out), "--macs-ratio", "0.6", "--data", str(data),
               "--recover-samples", "16", "--batch-size", "4", "--dtype", "float32",
               "--samples", "8", "--latency-runs", "0", "--json"]  # fmt: skip
    assert main([*command, "--stop-after", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoint"] is None
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["checkpoint"] == str(out)
    assert facts["samples"] == 8 and facts["samples_origin"] == "data"
    assert facts["output_change"] > 0 and facts["predicted_loss"] > 0
    assert facts["after"]["loss"] > 0
