"""What options, folders and files alone can tell is refused before torch is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.checkpoint.defaults import calibration_dataset, default_checkpoint
from edgeswap_compress.diffusers_folder.unet_kinds import SUPPORTED_BLOCKS
from edgeswap_compress.prune import _early_checks
from edgeswap_compress.prune.config import IMPORTANCE_NAMES, NEED_SAMPLES
from edgeswap_compress.prune.search.importance import IMPORTANCES
from edgeswap_compress.prune.structure._families import CONDITIONED

CPU_S = 1.0

# Runs every command line it is given in one process; says the most CPU seconds one took.
PROGRAM = """
import contextlib, io, json, sys, time
from edgeswap_runtime.cli import main
answers, most = [], 0.0
for line in json.load(sys.stdin):
    told, begun = io.StringIO(), time.process_time()
    with contextlib.redirect_stderr(told):
        code = main(line)
    most = max(most, time.process_time() - begun)
    answers.append([code, told.getvalue()])
json.dump({"answers": answers, "most": most, "torch": "torch" in sys.modules}, sys.stdout)
"""

TEACHER = str(default_checkpoint("teacher"))
OPTIONS: dict[str, tuple[list[str], str]] = {
    "mode": (["--mode", "sideways"], "mode 'sideways': expected one of width, depth, both"),
    "importance": (["--importance", "luck"], "there is no importance 'luck': expected one of"),
    "ratio": (["--recover-minutes", "nan"], "minutes nan: expected"),
    "rate": (["--recover-minutes", "1", "--learning-rate", "nan"], "learning_rate nan: expected"),
    "batch": (["--recover-samples", "8", "--batch-size", "0"], "batch_size 0: expected"),
    "few": (["--recover-samples", "8"], "8 samples make no batch"),
    "threads": (["--threads", "100000"], "--threads 100000: expected 1 to 256"),
    "stop": (["--recover-minutes", "1", "--stop-after", "-1"], "--stop-after -1.0: expected 0 to"),
    "seed": (["--seed", "-1"], "seed -1: expected 0 to 4294967295"),
    "protect": (["--protect", "*"], "'*' protects the whole U-Net, so nothing is left to prune"),
    "data": (["--data", "."], "holds 0 pictures: expected at least 2 of each person"),
    "held out": (["--recover-minutes", "1", "--data", str(calibration_dataset()),
                  "--held-out", "no"], "no is no dataset"),
    "recovery": (["--recover-minutes", "1"], "recovery learns from pictures"),
}  # fmt: skip


def run(lines: list[list[str]], cwd: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def folders(home: Path) -> dict[str, tuple[list[str], str]]:
    """Checkpoints that no option can save, and what is said of each."""
    half = ["out", "--macs-ratio", "0.5"]

    def unet(name: str, **changes: Any) -> str:
        config = {"_class_name": "UNet2DConditionModel", **CONDITIONED, **changes}
        (home / name).mkdir()
        (home / name / "config.json").write_text(json.dumps(config))
        return name

    (home / "empty").mkdir()
    (home / "list").mkdir()
    (home / "list" / "config.json").write_text("[]")
    pruned = str(default_checkpoint("student"))
    bare = unet("bare")
    (home / bare / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    data = str(calibration_dataset())
    return {
        "missing": (["no", *half], "no is no checkpoint and no diffusers U-Net: expected a folder "
                    "with config.json or unet/config.json, found nothing; make one with edgeswap"),
        "empty": (["empty", *half], "found an empty folder; make one with"),
        "no object": (["list", *half], "expected a JSON object, found list"),
        "another kind": ([unet("kind", _class_name="VQModel"), *half], "describes a VQModel"),
        "a bad value": ([unet("value", norm_eps="1e-5"), *half], "norm_eps is '1e-5', expected a"),
        "a family": ([unet("dual", dual_cross_attention=True), *half], "dual_cross_attention is n"),
        "a block": ([unet("mid", mid_block_type="UNetMidBlock2DSimpleCrossAttn"), *half],
                    "mid_block is a UNetMidBlock2DSimpleCrossAttn, which cannot be pruned"),
        "no weights": ([unet("weightless"), *half], "there is no diffusion_pytorch_model.safete"),
        "pruned": ([pruned, *half], "is pruned already, expected an unpruned checkpoint"),
        "taken": ([TEACHER, "empty", "--macs-ratio", "0.5"], "empty already exists"),
        "bare with data": ([bare, *half, "--data", data], "holds a bare U-Net, which does not say"),
        "bare that learns": ([bare, *half, "--recover-minutes", "1", "--data", data],
                             "holds a bare U-Net, which nothing says how to train"),
        "a plan": ([TEACHER, "out", "--plan", "list/config.json"], "top level: expected an object"),
    }  # fmt: skip


def test_refusals_come_at_once_and_without_torch(tmp_path: Path) -> None:
    cases = {
        **{name: ([TEACHER, "out", "--macs-ratio", "0.5", *options], message)
           for name, (options, message) in OPTIONS.items()},
        **folders(tmp_path),
    }  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    found = run([["prune", *arguments] for arguments, _ in cases.values()], tmp_path)
    for (name, (_, message)), (code, told) in zip(cases.items(), found["answers"], strict=True):
        assert code == 2 and message in told, (name, code, told)
        assert told.count("\n") == 1, name
    assert not found["torch"]
    assert found["most"] < CPU_S
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        _early_checks.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6)
    )
    with pytest.raises(PruningError, match=r"may take \d+ MB, but 1 MB are free in .*: free some"):
        _early_checks.check_folders(Path(TEACHER), tmp_path / "not" / "made" / "yet")


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PruningError, match="is a file, so no folder can be made in it"):
        _early_checks.check_folders(Path(TEACHER), tmp_path / "file" / "out")


def test_names_known_without_torch_are_the_right_ones() -> None:
    from edgeswap_compress.plan.meta_copy import SUPPORTED_BLOCKS as OF_META_COPY

    assert set(IMPORTANCE_NAMES) == set(IMPORTANCES) and set(IMPORTANCES) > NEED_SAMPLES
    assert SUPPORTED_BLOCKS is OF_META_COPY
