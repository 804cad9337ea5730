"""The pruning stage and its command, on a tiny checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import edgeswap_compress.prune as public
from edgeswap_compress import Checkpoint
from edgeswap_compress._pruning_errors import (
    AlreadyPruned,
    BadPlan,
    PruningError,
    UnreachableTarget,
)
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.plan.folder import UNetFolder
from edgeswap_compress.plan.plan_file import read_plan
from edgeswap_compress.prune import PruneChoice, PruneConfig, PruneTarget, model, prune
from edgeswap_compress.prune._samples import default_choice
from edgeswap_compress.prune.config import BEST
from edgeswap_compress.prune.latency import table as _block_latency
from edgeswap_compress.prune.latency import target
from edgeswap_compress.prune.model import token_count
from edgeswap_compress.prune.stage import replay
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import OutputExists

HALF = PruneConfig(target=PruneTarget(macs_ratio=0.5))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint().save(tmp_path_factory.mktemp("prune") / "whole")


@pytest.fixture(scope="module")
def pruned(whole: Path) -> Path:
    return prune(whole, HALF, whole.with_name("pruned"))


def output_of(path: Path) -> torch.Tensor:
    checkpoint = Checkpoint.load(path)
    inputs = example_inputs(checkpoint.unet.config, tokens=token_count(checkpoint))
    filled = {name: torch.full(tensor.shape, 0.5) for name, tensor in inputs.items()}
    with torch.no_grad():
        output: torch.Tensor = checkpoint.unet(**filled).sample
    return output


def test_a_pruned_checkpoint_loads_runs_and_remembers(whole: Path, pruned: Path) -> None:
    before, after = Checkpoint.load(whole), Checkpoint.load(pruned)
    assert after.plan is not None and after.plan.stats is not None
    stats = after.plan.stats
    assert stats.macs_after / stats.macs_before == pytest.approx(0.5, rel=0.05)
    assert stats.parameters_after == sum(p.numel() for p in after.unet.parameters())
    assert dict(after.unet.config) == dict(before.unet.config)
    assert after.swap.history[:-1] == before.swap.history
    assert after.swap.history[-1] == {
        "stage": "prune",
        "config": HALF.to_json(),
    }
    assert output_of(pruned).isfinite().all()
    assert output_of(pruned).shape == output_of(whole).shape


def test_saved_weights_are_the_original_ones(whole: Path, pruned: Path) -> None:
    original = Checkpoint.load(whole).unet.state_dict()
    plan = read_plan(pruned / "unet" / "pruning.json")
    for name, tensor in Checkpoint.load(pruned).unet.state_dict().items():
        layer, _, parameter = name.rpartition(".")
        expected, cut = original[name], plan.layers.get(layer)
        if cut is not None and cut.out is not None:
            expected = expected[list(cut.out.kept)]
        if cut is not None and cut.inp is not None and parameter == "weight":
            expected = expected[:, list(cut.inp.kept)]
        assert torch.equal(tensor, expected), name


def test_a_fresh_process_gives_the_same_output(pruned: Path) -> None:
    script = (
        "import sys, torch; from edgeswap_compress import Checkpoint;"
        "unet = Checkpoint.load(sys.argv[1]).unet; torch.set_grad_enabled(False);"
        "c = unet.config; h = torch.full;"
        "s = h((1, c.in_channels, c.sample_size, c.sample_size), 0.5);"
        "v = h((1, c.projection_class_embeddings_input_dim), 0.5);"
        "t = h((1, int(sys.argv[2]), c.cross_attention_dim), 0.5);"
        "o = unet(s, h((1,), 0.5), encoder_hidden_states=t, class_labels=v).sample;"
        "print(o.numpy().tobytes().hex())"
    )
    tokens = str(token_count(Checkpoint.load(pruned)))
    result = subprocess.run(
        [sys.executable, "-c", script, str(pruned), tokens],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == output_of(pruned).numpy().tobytes().hex()


def test_replaying_the_plan_gives_the_same_unet(whole: Path, pruned: Path, tmp_path: Path) -> None:
    plan = read_plan(pruned / "unet" / "pruning.json")
    again = replay(whole, plan, tmp_path / "again")
    for file in (pruned / "unet").iterdir():
        assert (again / "unet" / file.name).read_bytes() == file.read_bytes(), file.name
    assert Checkpoint.load(again).swap.history[-1]["config"].keys() == {"plan_sha256"}


def test_a_pruned_checkpoint_is_not_pruned_again(pruned: Path, tmp_path: Path) -> None:
    with pytest.raises(AlreadyPruned, match="is pruned already, expected an unpruned checkpoint"):
        prune(pruned, HALF, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_exists_is_left_alone(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    with pytest.raises(OutputExists, match="already exists"):
        prune(whole, HALF, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["note"]


def test_an_unreachable_ratio_says_what_is_reachable(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UnreachableTarget,
        match=r"a MACs ratio of 0\.01 cannot be reached with widths that are multiples of 8: "
        r"the nearest is 0\.\d+ and the least 0\.\d+; ask for another --macs-ratio",
    ):
        prune(whole, PruneConfig(target=PruneTarget(macs_ratio=0.01)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"macs_ratio": 0.0}, "macs_ratio must lie between 0 and 1, found 0"),
        ({"macs_ratio": 1.0}, "macs_ratio must lie between 0 and 1, found 1"),
        ({"macs_ratio": float("nan")}, "macs_ratio must lie between 0 and 1, found nan"),
        (
            {"macs_ratio": 0.5, "importance": "luck"},
            "there is no importance 'luck': expected one of magnitude, random, taylor, diff-pr",
        ),
        ({"macs_ratio": 0.5, "round_to": 0}, "round_to must be at least 1, found 0"),
        ({"macs_ratio": 0.5, "seed": -1}, "seed -1: expected 0 to 4294967295"),
    ],
)
def test_a_config_out_of_range_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((PruningError, InvalidSettings), match=message):
        PruneConfig.from_json(arguments)


def test_plans_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="there is no such file"):
        read_plan(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(BadPlan, match="is not JSON"):
        read_plan(tmp_path / "bad.json")


def test_the_command_prints_one_json_object(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["prune", str(whole), str(out), "--macs-ratio", "0.5", "--latency-runs", "2"]
    assert main([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    for name, path in (("before", whole), ("after", out)):
        unet = Checkpoint.load(path).unet
        assert facts[name]["parameters"] == sum(p.numel() for p in unet.parameters())
        assert facts[name]["latency_torch_ms"] > 0
    assert facts["ratio"]["macs"] == pytest.approx(0.5, rel=0.05)
    assert facts["after"]["macs"] == facts["plan"]["macs_after"]
    assert facts["checkpoint"] == str(out)


def test_the_command_prints_a_table_and_replays_a_plan(
    whole: Path, pruned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = str(pruned / "unet" / "pruning.json")
    out = str(tmp_path / "out")
    assert main(["prune", str(whole), out, "--plan", plan, "--latency-runs", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["U-Net", "before", "after", "ratio"]
    assert [line.split()[0] for line in lines[1:3]] == ["parameters", "MACs"]
    assert lines[3] == "chosen: importance magnitude, allocation share, 0 modules dropped"
    assert (
        lines[4] == "no samples, so no loss was predicted: --samples N takes noise, --data triplets"
    )
    assert lines[5] == "latency was not measured: --latency-runs N measures it"
    assert lines[-2:] == [f"wrote {out}", f"next: edgeswap distill {whole} {out} STUDENT"]


def test_the_command_aims_at_a_latency_and_keeps_the_table(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[int] = []

    def medians_ms(sessions: Any, *, runs: int) -> dict[Any, float]:
        """A block's shapes stand for its time."""
        measured.append(len(sessions))
        return {
            key: float(sum(torch.empty(shape).numel() for _, shape in key[1])) if key else 5e5
            for key in sessions
        }

    def ratio(before: Any, after: Any, *, tokens: int) -> target.MeasuredRatio:
        assert tokens == token_count(Checkpoint.load(whole))
        counts = [sum(p.numel() for p in unet.parameters()) for unet in (after, before)]
        return target.MeasuredRatio(ratio=counts[0] / counts[1])

    monkeypatch.setattr(_block_latency, "interleaved_medians_ms", medians_ms)
    monkeypatch.setattr(target, "latency_ratio", ratio)
    table, outs = tmp_path / "table.json", [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        arguments = ["prune", str(whole), str(out), "--latency-ratio", "0.6", "--round-to", "4"]
        arguments += ["--latency-table", str(table), "--latency-runs", "0", "--json"]
        assert main(arguments) == 0
        plan = json.loads(capsys.readouterr().out)["plan"]
        assert plan["latency_ratio"] == pytest.approx(0.6, rel=0.05)
        assert plan["target"] == "latency"
    assert len(measured) == 1 and table.exists()
    one, two = (read_plan(out / "unet" / "pruning.json") for out in outs)
    assert one == two


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--macs-ratio", "1.5"], "macs_ratio must lie between 0 and 1, found 1.5"),
        (["--macs-ratio", "0.5", "--importance", "luck"], "there is no importance 'luck'"),
        ([], "one of the arguments --macs-ratio --params-ratio --latency-ratio --plan is required"),
        (["--macs-ratio", "0.5", "--latency-runs", "-1"], "--latency-runs -1: expected 0 to 1024"),
        (["--macs-ratio", "0.5", "--threads", "-1"], "--threads -1: expected 1 to 256"),
        (["--macs-ratio", "0.5", "--seed", str(2**64)], f"seed {2**64}: expected 0 to 4294967295"),
        (["--macs-ratio", "0.5", "--protect", "*"], "'*' protects the whole U-Net, so nothing is"),
        (
            ["--macs-ratio", "0.5", "--data", "no"],
            "no is no dataset: expected a folder with manifest.json",
        ),
        (["--plan", "no.json"], "no.json: there is no such file"),
        (["--plan", "p.json", "--mode", "both"], "--mode is of no use with --plan, which replays"),
        (
            ["--macs-ratio", "0.5", "--latency-table", "t.json"],
            "--latency-table is of no use without --latency-ratio",
        ),
        (
            ["--macs-ratio", "0.5", "--held-out", "x"],
            "--held-out is of no use without --recover-minutes",
        ),
        (
            ["--macs-ratio", "0.5", "--params-ratio", "0.5"],
            "not allowed with argument --macs-ratio",
        ),
        (["--macs-ratio", "0.5", "--importance", "taylor"], "name a dataset with --data"),
        (["--macs-ratio", "0.5", "--resample", "--rounds", "2"], "expected --rounds 1 with --resa"),
        (
            ["--macs-ratio", "0.5", "--mode", "luck"],
            "mode 'luck': expected one of width, depth, both",
        ),
        (
            ["--macs-ratio", "0.5", "--allocation", "x"],
            "allocation 'x': expected one of share, uniform, ",
        ),
        (["--macs-ratio", "0.5", "--samples", "-1"], "samples must be at least 0, found -1"),
        (["--macs-ratio", "0.5", "--recover-minutes", "1"], "recovery learns from pictures"),
    ],
)
def test_bad_arguments_exit_with_2_and_write_nothing(
    arguments: list[str],
    message: str,
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["prune", str(whole), str(tmp_path / "out"), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("samples", [None, 0])
def test_the_command_takes_the_best_choice_where_samples_judge_it(
    samples: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unet = tiny_checkpoint().unet
    unet.save_pretrained(tmp_path / "unet")
    arguments = ["prune", str(tmp_path / "unet"), str(tmp_path / "out"), "--macs-ratio", "0.5"]
    arguments += ["--latency-runs", "0"] + ([] if samples is None else ["--samples", str(samples)])
    assert main(arguments) == 0
    plan = read_plan(tmp_path / "out" / "pruning.json")
    assert plan.stats is not None
    wanted = BEST["importance"] if samples is None else PruneChoice().importance
    assert plan.stats.importance == wanted
    assert f"chosen: importance {wanted}, " in capsys.readouterr().out
    if samples is None:
        assert plan.stats.predicted_loss is not None


def test_large_networks_and_other_crops_are_not_judged_unasked(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint.load(whole)  # crops of 24 px, which the packaged dataset has none of
    assert default_choice(checkpoint, samples=None, data=None) == {}
    assert default_choice(checkpoint, samples=None, data=Path("faces")) == BEST
    monkeypatch.setattr(model, "LARGE_MACS", 0)
    bare = UNetFolder(unet=checkpoint.unet, plan=None)
    assert default_choice(bare, samples=None, data=None) == {}
    assert default_choice(bare, samples=4, data=None) == BEST
    assert default_choice(bare, samples=0, data=None) == {}


def test_everything_public_can_be_imported_and_is_sorted() -> None:
    assert public.__all__ == sorted(public.__all__)
    for name in public.__all__:
        assert getattr(public, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'prun'"):
        public.prun  # noqa: B018
