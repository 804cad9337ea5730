"""Polygraphy's linter, which runs every node by itself, finds nothing to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("polygraphy")

COMMAND = "from polygraphy.tools import main; main()"


FOLDING = "can't constant fold"
"""ONNX Runtime would like to compute a step's timestep beforehand, and has no float16 kernel."""


def lint(model: Path, folder: Path) -> dict[str, Any]:
    """Run `polygraphy check lint`; it answers with its report, written to a folder of its own."""
    report = folder / "lint.json"
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "check", "lint", str(model), "-o", str(report)],
        capture_output=True,
        text=True,
        env={**os.environ, "POLYGRAPHY_AUTOINSTALL_DEPS": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.mark.parametrize(
    ("precision", "graph"),
    [
        ("fp16", "swap"),
        ("int8", "swap"),
        *(
            pytest.param(precision, graph, marks=pytest.mark.slow)
            for precision in ("fp16", "int8")
            for graph in ("encode", "identity", "denoise", "decode")
        ),
    ],
)
def test_graphs_pass(precision: str, graph: str, lowered: Path, tmp_path: Path) -> None:
    found = lint(lowered / precision / f"{graph}.onnx", tmp_path)
    assert [e for e in found["lint_entries"] if FOLDING not in e["message"]] == []
    assert found["summary"]["failing"] == [] and len(found["summary"]["passing"]) > 50


def test_float32_denoiser_passes(guided: Any, tmp_path: Path) -> None:
    copy = tmp_path / "denoise.onnx"
    copy.write_bytes((guided.bundle / "denoise.onnx").read_bytes())
    found = lint(copy, tmp_path)
    assert found["lint_entries"] == [] and found["summary"]["failing"] == []
