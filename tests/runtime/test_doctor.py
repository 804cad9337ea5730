"""`edgeswap doctor` on this machine, and on machines described by their files."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_runtime import doctor as _doctor
from edgeswap_runtime.backends.instructions import saturates_int8
from edgeswap_runtime.cli import main

if TYPE_CHECKING:
    from pathlib import Path

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8481C
flags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16 amx_tile amx_int8

processor\t: 1
model name\t: Intel(R) Xeon(R) Platinum 8481C
flags\t\t: fpu avx2
"""
ORIN = """processor\t: 0
Features\t: fp asimd asimddp i8mm bf16
"""


def test_processors(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(XEON)
    found = _doctor.cpu(file)
    assert found["model"] == "Intel(R) Xeon(R) Platinum 8481C"
    assert found["instructions"] == ["avx2", "avx512", "vnni", "bf16", "amx"]
    assert 1 <= found["usable_cores"] <= found["cores"]
    file.write_text(ORIN)
    assert _doctor.cpu(file)["instructions"] == ["bf16", "neon_dot", "i8mm"]
    assert _doctor.cpu(tmp_path / "nowhere")["instructions"] == []


def test_which_processors_saturate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(XEON)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert not saturates_int8(file)
    assert saturates_int8(tmp_path / "nowhere")
    file.write_text("flags\t\t: fpu avx2 avx512f\n")
    assert saturates_int8(file)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert not saturates_int8(file)


def test_memory(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       1000 kB\nMemAvailable:    600 kB\nHugePages_Total:       0\n")
    assert _doctor.memory_bytes(file) == {"total": 1_024_000, "available": 614_400}
    assert _doctor.memory_bytes(tmp_path / "nowhere") == {"total": None, "available": None}


def test_jetson(tmp_path: Path) -> None:
    file = tmp_path / "nv_tegra_release"
    file.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\nmore\n")
    assert _doctor.jetson(file) == "R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic"
    assert _doctor.jetson(tmp_path / "nowhere") is None


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretends that cuda-bindings is installed and that the probe ends in some way."""

    def install(outcome: Any) -> None:
        def run(command: list[str], **options: Any) -> Any:
            assert options["timeout"] > 0
            if isinstance(outcome, BaseException):
                raise outcome
            return subprocess.CompletedProcess(command, *outcome)

        monkeypatch.setattr(_doctor.subprocess, "run", run)
        monkeypatch.setattr(_doctor, "missing_modules", lambda names: [])

    return install


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ((-11, "", ""), "the probe failed (exit code -11)"),
        (
            (1, "", "Traceback\nImportError: libcudart.so"),
            "the probe failed (ImportError: libcudart",
        ),
        (subprocess.TimeoutExpired("x", 30), "the probe did not finish"),
        (OSError("no fork"), "the probe did not finish (no fork)"),
        ((0, '{"status": "cudaErrorInsufficientDriver", "devices": []}', ""), "cudaErrorInsuffic"),
    ],
)
def test_no_gpu_can_bring_the_doctor_down(probe: Any, outcome: Any, status: str) -> None:
    probe(outcome)
    found = _doctor.gpu()
    assert found["status"].startswith(status)
    assert found["devices"] == []


def test_a_gpu_is_described(probe: Any) -> None:
    device = {"name": "Orin", "memory_bytes": 8_000_000_000, "compute_capability": "8.7"}
    probe((0, json.dumps({"status": "cudaSuccess", "devices": [device]}), ""))
    found = _doctor.gpu()
    assert found["status"] == "cudaSuccess" and found["devices"] == [device]


def test_without_cuda_bindings_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_doctor, "missing_modules", lambda names: ["cuda"])
    monkeypatch.setattr(_doctor.subprocess, "run", lambda *a, **k: pytest.fail("was started"))
    assert _doctor.gpu()["status"] == "cuda-bindings is not installed"


def test_advice_says_what_to_type() -> None:
    report = {
        "backends": {
            "onnxruntime": {"version": None, "providers": []},
            "tensorrt": {"version": None},
        },
        "gpu": {"driver": "550.1", "devices": [{"name": "RTX"}]},
        "jetson": None,
        "extras": {"ort": False, "data": True, "compress": False, "export": True, "rtx": False},
    }
    advice = _doctor.advise(report)
    typed = [tip["type"] for tip in advice]
    assert "python -m pip install 'edgeswap[ort]'" in typed
    assert any("onnxruntime-gpu" in line for line in typed)
    assert "python -m pip install 'edgeswap[compress]'" in typed
    assert not any("edgeswap[data]" in line for line in typed)
    assert "python -m pip install 'edgeswap[rtx]'" in typed
    report["jetson"] = "R36"
    typed = [tip["type"] for tip in _doctor.advise(report)]
    assert "sudo apt-get install python3-libnvinfer" in typed
    assert "python -m pip install 'edgeswap[rtx]'" not in typed
    report["jetson"] = None
    report["backends"] = {
        "onnxruntime": {"version": "1", "providers": ["CUDAExecutionProvider"]},
        "tensorrt": {"version": None},
    }
    report["extras"] = {"ort": True, "data": True, "compress": True, "export": True}
    report["gpu"] = {"driver": None, "devices": []}
    assert _doctor.advise(report) == []


def test_what_tensorrt_can_do_here() -> None:
    def told(backend: str, version: str | None, devices: list[Any]) -> str:
        gpu = {"devices": devices, "status": "cudaErrorInsufficientDriver"}
        report = {"backends": {backend: {"version": version}}, "gpu": gpu}
        return _doctor.engines(backend, report)

    assert told("tensorrt", None, []) == "none"
    assert told("tensorrt", "10.3.0", [{}]) == "builds and runs"
    assert told("tensorrt", "10.3.0", []) == "runs none: cudaErrorInsufficientDriver"
    assert told("tensorrt_rtx", "1.7", []).startswith("builds ahead of time, runs none: cudaErr")


def test_openvinos_devices_and_precisions() -> None:
    pytest.importorskip("openvino")
    found = _doctor.backends()["openvino"]
    assert "cpu" in found["devices"] and "fp32" in found["precisions"]


def test_missing_modules_are_found_without_importing_them() -> None:
    sys.modules.pop("wave", None)
    assert _doctor.missing_modules(("wave", "no_such_module", "no_such.sub")) == [
        "no_such_module",
        "no_such.sub",
    ]
    assert "wave" not in sys.modules


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["backends"]["onnxruntime"]["version"]
    assert report["cpu"]["usable_cores"] >= 1
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("edgeswap ") and "onnxruntime" in shown and "memory" in shown
