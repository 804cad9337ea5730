"""The peers' scripts: what they need, that they start, and that they compute the same."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_bench.compare.worker import PEERS

if TYPE_CHECKING:
    from types import ModuleType

SCRIPTS = sorted(path for path in PEERS.glob("*.py") if not path.name.startswith("_")
                 and path.stem not in ("table", "environment"))  # fmt: skip


def load(name: str) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(f"edgeswap_peers_{name}", PEERS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def peers_table() -> ModuleType:
    """table.py."""
    return load("table")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_peer_says_what_it_is_and_needs(script: Path) -> None:
    assert load("environment").dependencies(script)
    assert ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))


def test_the_table_names_every_peer(peers_table: ModuleType) -> None:
    assert {script for script, _ in peers_table.PEERS.values()} | {"checkpoint"} == {
        path.stem for path in SCRIPTS
    }


def test_a_script_without_a_head_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text('"""Nothing."""\n')
    with pytest.raises(SystemExit, match=r"x\.py names no dependencies"):
        load("environment").dependencies(tmp_path / "x.py")


def test_rows_that_run_and_rows_that_do_not(
    peers_table: ModuleType, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no trtexec
    onnx = bundle_folder / "denoise.onnx"
    arrays = peers_table.drawn(onnx)
    np.savez(tmp_path / "inputs.npz", **arrays)
    rows = ["edgeswap ort", "onnxruntime", "trtexec"]
    options = argparse.Namespace(threads=1, model=bundle_folder, runs=6)
    differences: dict[str, float] = {}
    groups = peers_table.groups(rows, 1)
    assert groups == [["edgeswap ort", "onnxruntime"], ["edgeswap ort", "trtexec"]]
    report = peers_table.joined(
        [peers_table.timed(g, options, onnx, arrays, tmp_path, differences) for g in groups]
    )
    assert [subject.label for subject in report.subjects] == rows
    assert differences == {"edgeswap ort": 0.0, "onnxruntime": 0.0}
    shown = peers_table.table(report, differences)
    assert "trtexec                   failed: trtexec ended: trtexec is not on the PATH" in shown
    assert report.ratios[0].subject == "onnxruntime" and "0e+00 sd" in shown


@pytest.mark.slow
def test_torch_computes_the_same_and_takes_turns(peers_table: ModuleType, tmp_path: Path) -> None:
    """The packaged student: a U-Net evaluation in torch, and whole swaps by its checkpoint."""
    from edgeswap_bench.compare.worker import WorkerSubject
    from edgeswap_bench.measure.subject import Task
    from edgeswap_compress import default_checkpoint

    student = default_checkpoint("student")
    onnx = peers_table.exported(student, tmp_path)
    arrays = peers_table.drawn(onnx)
    np.savez(tmp_path / "inputs.npz", **arrays)
    options = argparse.Namespace(rows=["edgeswap ort", "diffusers eager"], threads=1, model=student)
    with contextlib.ExitStack() as stack:
        given: Any = (options.rows, options, onnx, arrays, tmp_path, stack)
        _, failed, differences = peers_table.opened(*given)
        assert failed == [] and differences["diffusers eager"] < 1e-4
        given = ("checkpoint", [str(student), "--threads", "1"])
        swaps = WorkerSubject(*given, label="student", kind="checkpoint")
        stack.callback(swaps.close)
        assert swaps.tasks == ("crop",) and swaps.run(Task(name="crop")).total_ns > 1e6
        assert swaps.describe()["settings"]["dtype"] in ("float32", "bfloat16")
