"""`edgeswap bench`, in process, on ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import edgeswap_bench
from edgeswap_runtime.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def arguments(bundle_folder: Path, photo_file: Any) -> list[str]:
    """A command line that works."""
    photo = str(photo_file("a.png"))
    return [
        "bench", str(bundle_folder), "--source", photo, "--target", photo,
        "--runs", "3", "--warmup", "1", "--threads", "1", "--starts", "0",
    ]  # fmt: skip


def test_a_table(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "tiny, " in shown.out and "ort on cpu" in shown.out
    assert "picture 64 x 64" in shown.out and "graph denoise" in shown.out
    assert "few: 3 runs, p50 needs 6" in shown.out or "noisy: " in shown.out
    assert "peak memory" in shown.out
    assert shown.err == ""


def test_json_is_one_object(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json", "--size", "64x96", "48x48", "--schedule", "two"]) == 0
    report = json.loads(capsys.readouterr().out)
    (bundle,) = report["subjects"]
    _, *sizes = bundle["tasks"]
    assert [(s["height_px"], s["width_px"]) for s in sizes] == [(96, 64), (48, 48)]
    settings = bundle["settings"]
    assert settings["schedule"] == "two" and settings["evaluations"] == 2
    assert settings["backend"] == "ort" and settings["threads"] == 1
    assert settings["open_ms"] > 0
    assert sizes[0]["stages"]["denoise"]["n"] == 3
    assert report["peak_rss_bytes"] is None or report["peak_rss_bytes"] > 1e6


def test_too_few_runs_are_not_settled(arguments: list[str]) -> None:
    assert main([*arguments, "--require-settled"]) == 3


def test_two_bundles_in_turns(
    arguments: list[str], bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--against", f"{bundle_folder},schedule=two", "--batch", "1", "2", "--task", "crop"]
    assert main([*arguments, *extra]) == 0
    shown = capsys.readouterr().out
    assert "bundle, crop" in shown and "times as long as tiny" in shown
    assert "crops/s" in shown and "takes batches up to 1" in shown


def test_no_size_could_be_timed(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "black.png")
    arguments[arguments.index("--target") + 1] = str(tmp_path / "black.png")
    assert main([*arguments, "--task", "picture"]) == 1
    assert "failed: no face found" in capsys.readouterr().out
    assert main(arguments) == 0  # the identity could be timed


def test_a_bundle_without_a_detector(
    arguments: list[str], tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments[1] = str(tiny.write_bundle(tmp_path / "crops", graphs=tiny.crop_graphs()))
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert "crops holds no face detector, it takes aligned crops only: use swap_crop" in shown.err
    assert "without --no-detector" in shown.err
    assert shown.err.count("\n") == 1 and shown.out == ""


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--size", "big"], "size 'big' is not WIDTHxHEIGHT"),
        (["--runs", "0"], "runs is 0"),
        (["--schedule", "ten"], "has no schedule 'ten'"),
        (["--source", "nowhere.png"], "nowhere.png cannot be read as a picture"),
        (["--backend", "magic"], "there is no backend 'magic'"),
        (["--precision", "fp8"], "fp8"),
        (["--batch", "0"], "batches are [0]"),
        (["--against", "nowhere"], "--against nowhere does not exist"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    assert main([*arguments, *extra]) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") == 1 and shown.out == ""


def test_names_are_complete_sorted_and_lazy() -> None:
    names = edgeswap_bench.__all__
    assert names == sorted(names)
    assert all(getattr(edgeswap_bench, name).__name__ == name for name in names)
    assert len(names) <= 12
    assert not hasattr(edgeswap_bench, "nothing")
    assert set(names) <= set(dir(edgeswap_bench))
    code = "import edgeswap_bench, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
