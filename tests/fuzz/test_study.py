"""The fuzz study itself: its sandbox, its judge, its seeds, and some of its cases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzzing import bytestrings, graphs, trees
from fuzzing.case import Case, faults, out_folder
from fuzzing.sandbox import TRACEBACK, Outcome

STUDY = Path(__file__).parents[2] / "benchmarks" / "studies" / "fuzz.py"
CASE = Case(kind="manifest", seed=1, description="", argv=("inspect", "x"))


def outcome(code: int = 2, stderr: str = "edgeswap: x is no folder\n", **more: object) -> Outcome:
    fields = {"stopped": None, "stdout": "", "cpu_s": 0.1, "wall_s": 0.1, "peak_rss_bytes": 10**8}
    return Outcome(**{"code": code, "stderr": stderr, **fields, **more})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out_folder(tmp_path).mkdir()
    return tmp_path


def test_a_refusal_in_one_line_is_no_fault(folder: Path) -> None:
    assert faults(CASE, outcome(), folder) == []
    usage = "usage: edgeswap swap [-h]\n    bundle\nedgeswap swap: error: --seed is no number\n"
    assert faults(CASE, outcome(stderr=usage), folder) == []


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (outcome(TRACEBACK, "Traceback (most recent call last):\nKeyError: 1"), "traceback"),
        (outcome(1), "exit 1"),
        (outcome(-11), "ended by signal 11"),
        (outcome(-9, stopped="more than 10 s"), "hang"),
        (outcome(peak_rss_bytes=3 * 10**9), "memory: 3.00 GB"),
        (outcome(stderr=""), "words"),
        (outcome(stderr="edgeswap: \x1b[31m\n"), "words: control characters"),
        (outcome(stderr="a.py:1: UserWarning: x\nedgeswap: no\n"), "words: a warning"),
        (outcome(0, stdout="NaN"), "output: --json"),
    ],
)
def test_every_fault_is_seen(folder: Path, found: Outcome, fault: str) -> None:
    case = Case(kind="manifest", seed=1, description="", argv=("inspect", "x", "--json"))
    assert faults(case, found, folder)[0].startswith(fault)


def test_what_is_left_behind_is_seen(folder: Path) -> None:
    (out_folder(folder) / ".made.partial").mkdir()
    assert faults(CASE, outcome(), folder) == ["left behind: .made.partial"]
    assert faults(CASE, outcome(0), folder) == ["left behind: .made.partial"]


def test_a_swap_that_made_no_picture_is_seen(folder: Path) -> None:
    case = Case(kind="picture", seed=1, description="", argv=("swap", "x"))
    (out_folder(folder) / "made.png").write_bytes(b"no picture")
    assert faults(case, outcome(0), folder)[0].startswith("output: the picture cannot be opened")


def test_a_seed_is_a_mutation() -> None:
    tree = {"a": [1, 2.5, {"b": "text"}], "c": None}
    data = bytes(range(256))
    for seed in range(50):
        told, changed = trees.mutate(tree, Random(seed))
        again = trees.mutate(tree, Random(seed))
        assert (told, trees.dumps(changed)) == (again[0], trees.dumps(again[1]))
        assert bytestrings.mutate(data, Random(seed)) == bytestrings.mutate(data, Random(seed))
    assert tree == {"a": [1, 2.5, {"b": "text"}], "c": None}


def test_every_way_changes_a_graph(tmp_path: Path) -> None:
    from fuzzing.place import module

    tiny = module(Path(__file__).parents[1] / "runtime" / "tiny_bundle.py")
    data = tiny.onnx_models(tiny.manifest())["identity"]
    for way in range(len(graphs.WAYS)):
        told, changed = graphs.crafted(data, way)
        assert changed != data, told


@pytest.mark.parametrize(
    ("every", "least"), [(18, 60), pytest.param(6, 200, marks=pytest.mark.slow)]
)
def test_some_cases_without_a_fault(every: int, least: int, tmp_path: Path) -> None:
    command = [
        *(sys.executable, str(STUDY), "--folder", str(tmp_path), "--quick"),
        *("--every", str(every)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    total = next(line for line in done.stdout.splitlines() if line.startswith("all "))
    assert int(total.split()[1]) >= least
