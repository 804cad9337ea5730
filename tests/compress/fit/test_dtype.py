"""The dtype that is taken: the faster one here, kept for the machine, named in the history."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.evaluate.models import Sampling
from edgeswap_compress.fit import dtype as module
from edgeswap_compress.fit.config import FitOptions
from edgeswap_compress.fit.dtype import Probed, dtype_line, note_dtype, probe, resolve_dtype
from edgeswap_compress.fit.observe import dtype_probe
from edgeswap_compress.train.config import TeacherConfig


def probed(bfloat16_ms: float, inference_ms: float = 10.0) -> Probed:
    return Probed(
        {"float32": 10.0, "bfloat16": bfloat16_ms}, {"float32": 10.0, "bfloat16": inference_ms}
    )


@pytest.mark.parametrize(
    ("bfloat16_ms", "taken", "line"),
    [
        (70.0, "float32", "dtype: float32 (bfloat16 is 7.0x slower here)"),
        (5.0, "bfloat16", "dtype: bfloat16 (float32 is 2.0x slower here)"),
        (9.8, "float32", "dtype: float32 (bfloat16 is no faster here)"),
    ],
)
def test_auto_takes_the_faster_and_says_why(
    bfloat16_ms: float, taken: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "probe", lambda device: probed(bfloat16_ms))
    assert resolve_dtype("auto") == getattr(torch, taken)
    assert dtype_line("auto") == line
    assert resolve_dtype("auto", training=False) == torch.float32
    for name in ("float32", "bfloat16"):
        assert resolve_dtype(name) == getattr(torch, name)
        assert dtype_line(name) == f"dtype: {name} (as asked)"


def test_the_probe_is_short_and_leaves_everything_as_it_was() -> None:
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    begun = time.thread_time()
    with torch.inference_mode():
        found = dtype_probe._measure("cpu")
    assert time.thread_time() - begun < 2.0
    assert min(*found.training_ms.values(), *found.inference_ms.values()) > 0
    assert all(found.training_ms[name] > found.inference_ms[name] for name in found.training_ms)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="hides x86 instructions")
def test_where_bfloat16_is_emulated_float32_is_taken(tmp_path: Path) -> None:
    hidden = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    code = "from edgeswap_compress.fit.dtype import dtype_line; print(dtype_line('auto'))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        env={**os.environ, **hidden, "EDGESWAP_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.startswith("dtype: float32 (bfloat16 is ")


def measured(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    calls: list[str] = []

    def measure(device: str) -> Probed:
        calls.append(device)
        return probed(5.0)

    monkeypatch.setattr(dtype_probe, "_measure", measure)
    monkeypatch.setenv("EDGESWAP_CACHE", str(folder))
    return calls


def forget() -> None:
    dtype_probe._probe.cache_clear()


@pytest.fixture(autouse=True)
def fresh() -> Any:
    forget()
    yield
    forget()


def test_the_answer_is_kept_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = measured(monkeypatch, tmp_path)
    for _ in range(2):  # a process, and another
        forget()
        assert probe() == probe() == probed(5.0)
    assert len(calls) == 1
    (file,) = (tmp_path / "dtype").iterdir()
    assert json.loads(file.read_text())["machine"]["torch"] == torch.__version__
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    probe()
    assert len(calls) == 2
    for text in ("", "[]", '{"training_ms": 3}', "\0"):
        file.write_text(text)
        forget()
        monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
        assert probe() == probed(5.0)
    assert len(calls) == 6


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    measured(monkeypatch, tmp_path / "file")
    assert probe() == probed(5.0)


def test_a_run_notes_what_it_goes_on_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert note_dtype(tmp_path, "bfloat16") == "bfloat16"
    assert note_dtype(tmp_path, "bfloat16") == "bfloat16"
    assert not caplog.records
    assert note_dtype(tmp_path, "float32") == "bfloat16, float32"
    assert "was computed in bfloat16 so far and goes on in float32" in caplog.text


CONFIGS: list[Any] = [
    FitOptions,
    Sampling,
    lambda **more: TeacherConfig(autoencoder=None, identity=None, denoiser=None, **more),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_decides_by_itself_and_refuses_other_names(config: Any) -> None:
    assert config().dtype == "auto"
    with pytest.raises(InvalidSettings, match="'int8': expected one of auto, float32, bfloat16"):
        config(dtype="int8")
