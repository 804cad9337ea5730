"""Acceptance on fakes with the real bindings' names: order, refusals, rows; nothing of a GPU."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_bench.acceptance import accept as accept_module
from edgeswap_bench.acceptance.checks import check_parity, check_repeats, difference
from edgeswap_runtime.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

pytest.importorskip("onnx")


@pytest.fixture(scope="session")
def nvidia() -> ModuleType:
    """The package tests/runtime/fake_nvidia."""
    path = Path(__file__).parents[1] / "runtime" / "fake_nvidia" / "__init__.py"
    spec = importlib.util.spec_from_file_location("edgeswap_bench_fake_nvidia", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def gpu(nvidia: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A fake GPU with TensorRT 10.13, and no TensorRT for RTX."""
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))
    cuda = nvidia.FakeCuda("cuda 13")
    monkeypatch.setitem(sys.modules, "tensorrt", nvidia.FakeTensorRt("tensorrt 10.13.3", cuda))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
    return cuda


@pytest.fixture
def arguments(bundle_folder: Path, photo_file: Callable[[str], Path], tmp_path: Path) -> list[str]:
    """A command line that is quick."""
    photo = str(photo_file("a.png"))
    options = ["--runs", "6", "--warmup", "1", "--starts", "0"]
    out = ["--acceptance", str(tmp_path / "out.json")]
    return ["bench", str(bundle_folder), "--source", photo, "--target", photo, *options, *out]


def rows(report: dict[str, Any]) -> dict[tuple[str, str], str]:
    """(backend, check) -> state."""
    return {(c["backend"], c["name"]): c["state"] for c in report["checks"]}


def test_engines_are_built_compared_refitted_and_timed(
    gpu: Any, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments)
    report = json.loads((tmp_path / "out.json").read_text())
    found = rows(report)
    for name in ("build", "parity", "CUDA graphs", "refit"):
        assert found["tensorrt", name] == "passed", report["checks"]
    assert found["tensorrt_rtx", "build"] == "skipped"
    # This ONNX Runtime has no CUDA provider, and nobody pretends that it has.
    assert found["ort on cuda", "parity"] == "failed"
    assert (code, report["accepted"]) == (3, False)
    labels = [s["label"] for s in report["report"]["subjects"]]
    assert labels == ["cpu", "tensorrt"]
    assert {r["subject"] for r in report["report"]["ratios"]} == {"tensorrt"}
    shown = capsys.readouterr().out
    assert "NOT accepted" in shown and "SM86" in shown and "times as long as cpu" in shown


def test_all_that_is_there_passes(
    gpu: Any, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept_module, "DEVICES", {})
    assert main(arguments) == 0


def test_an_engine_that_computes_something_else_fails(
    gpu: Any, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = accept_module.answers_on

    def wrong(bundle: Any, name: str, device: str, **given: Any) -> Any:
        answers, warnings = real(bundle, name, device, **given)
        if name == "tensorrt":
            for run in answers:
                run["encode"]["target_latents"] = run["encode"]["target_latents"] * 1.1
        return answers, warnings

    monkeypatch.setattr(accept_module, "DEVICES", {})
    monkeypatch.setattr(accept_module, "answers_on", wrong)
    assert main(arguments) == 3
    report = json.loads((tmp_path / "out.json").read_text())
    assert rows(report)["tensorrt", "parity"] == "failed"
    assert "beyond the tolerance: encode" in str(report["checks"])
    assert [s["label"] for s in report["report"]["subjects"]] == ["cpu"]


def test_without_a_driver_one_line_and_nothing_done(
    gpu: Any, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu.fails = "cudaGetDeviceCount"
    arguments[1] = "no-such-bundle"  # so early is it told
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "CUDA offers no device" in error and "edgeswap doctor" in error
    assert error.count("\n") == 1 and not (tmp_path / "out.json").exists()


def test_without_the_bindings_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "edgeswap[trt]" in error and error.count("\n") == 1


def test_differences_are_in_standard_deviations() -> None:
    truth = np.array([0.0, 2.0])
    assert difference(np.array([0.0, 2.5]), truth) == 0.5
    assert difference(np.array([0.0, np.nan]), truth) == float("inf")
    assert difference(np.zeros(3), truth) == float("inf")


def test_parity_knows_the_precision() -> None:
    truth = {"encode": {"y": np.array([0.0, 2.0])}}
    off = {"encode": {"y": np.array([0.0, 2.02])}}
    assert check_parity("b", off, truth, {"encode": "fp16"}, "parity").state == "passed"
    assert check_parity("b", off, truth, {"encode": "fp32"}, "parity").state == "failed"


def test_recorded_runs_must_repeat() -> None:
    one, other = {"g": {"y": np.zeros(2)}}, {"g": {"y": np.ones(2)}}
    assert check_repeats("b", [one, one, one], []).state == "passed"
    assert "other bytes than the first: g" in check_repeats("b", [one, one, other], []).detail
    warned = check_repeats("b", [one, one], ["graph 'g' runs without a CUDA graph: no"])
    assert warned.state == "failed" and "without a CUDA graph" in warned.detail
