"""``edgeswap distill`` as a user types it: killed, short of disk, in two processes, exported."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgeswap_compress import Checkpoint
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.distill import _compatibility, _inputs
from edgeswap_runtime.cli import main

OPTIONS = ["--method", "dmd2", "--samples", "64", "--batch-size", "4", "--dtype", "float32",
           "--data", "-", "--save-every", "0", "--evaluate-every", "0"]  # fmt: skip


def options(folder: Path) -> list[str]:
    teacher, student = str(folder / "teacher"), str(folder / "student")
    return ["distill", teacher, teacher, student, *OPTIONS, "--run", str(folder / "run")]


def start(folder: Path, *limit_bytes: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(folder), *limit_bytes]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    message = process.communicate()[1]
    assert process.returncode == 0, message


def curve(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "run" / "fit" / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "images_per_s"} for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_checkpoint(guidance_scale=1.5).save(tmp_path / "teacher")
    return tmp_path


def test_killed_on_the_way_it_ends_as_if_it_never_was(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        tiny_checkpoint(guidance_scale=1.5).save(tmp_path / name / "teacher")
    finish(start(tmp_path / "whole"))
    killed = start(tmp_path / "killed")
    log = tmp_path / "killed" / "run" / "fit" / "metrics.jsonl"
    while killed.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < 7):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "killed" / "student").exists()
    finish(start(tmp_path / "killed"))
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    states = [load_file(tmp_path / n / "run" / "fit" / "state.safetensors")
              for n in ("whole", "killed")]  # fmt: skip
    assert any(name.startswith("buffer.discriminator") for name in states[0])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    weights = [Checkpoint.load(tmp_path / n / "student").unet.state_dict()
               for n in ("whole", "killed")]  # fmt: skip
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow  # training's test of it is a default one, and the loop is the same
def test_a_full_disk_is_told_and_the_last_state_stays(folder: Path) -> None:
    first = start(folder)
    state = folder / "run" / "fit" / "state.safetensors"
    while first.poll() is None and not state.exists():
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = state.read_bytes()
    process = start(folder, str(len(before) // 2))
    message = process.communicate()[1]
    assert process.returncode == 2
    told = [line for line in message.splitlines() if line.startswith("edgeswap: ")]
    assert len(told) == 1 and "File too large" in told[0]
    assert "Traceback" not in message
    assert state.read_bytes() == before
    assert not (folder / "student").exists()
    finish(start(folder))
    assert Checkpoint.load(folder / "student").swap.default_steps == 1


def test_stopped_early_it_says_how_to_go_on(
    folder: Path, small_faces: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options(folder), "--stop-after", "0"]) == 0
    assert "the same command continues" in capsys.readouterr().out
    assert not (folder / "student").exists()
    assert main([*options(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["checkpoint"] == str(folder / "student")
    history = Checkpoint.load(folder / "student").swap.history[-1]
    assert history["config"]["method"] == "dmd2"
    assert {"step", "fixed_diversity", "fixed_to_truth"} <= set(history["config"]["figures"])


@pytest.fixture
def small_faces(noise_dataset: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inputs, "open_pictures", lambda path, loose: noise_dataset)
    monkeypatch.setattr(_compatibility, "check_pictures", lambda path, swap: noise_dataset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "progressive", "--teacher-steps", "3"], "2, 4, 8, ... times --steps"),
        (["--steps", "3"], "multiple of --steps"),
        (["--truth-weight", "7"], "expected 0 to 1"),
    ],
)
def test_bad_settings_are_told_in_one_line(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = str(folder / "teacher")
    assert main(["distill", teacher, teacher, str(folder / "student"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["teacher"]


@pytest.mark.parametrize(
    ("steps", "method"), [pytest.param(1, "dmd2", marks=pytest.mark.slow), (2, "lcm")]
)
def test_a_student_is_exported_unchanged_and_swaps(
    folder: Path, small_faces: None, steps: int, method: str
) -> None:
    import numpy as np

    from edgeswap_compress.checkpoint.pipeline import SwapPipeline
    from edgeswap_compress.fit.latent_cache import to_tensor
    from edgeswap_export import ExportConfig, SchedulesConfig, export
    from edgeswap_runtime import Bundle, Swapper

    command = [*options(folder), "--steps", str(steps), "--method", method, "--samples", "8"]
    assert main(command) == 0
    config = ExportConfig(schedules=SchedulesConfig(others=()), detector=False)
    manifest = Bundle.open(export(folder / "student", config, folder / "bundle")).manifest
    assert manifest.default_schedule == f"ddim-{steps}"
    assert manifest.evaluations_per_step == 1
    assert manifest.history[-2]["stage"] == "distill"
    rng = np.random.default_rng(0)
    target, source = rng.integers(0, 255, (2, 24, 24, 3), dtype=np.uint8)
    noise = rng.normal(size=(1, 4, 4, 4)).astype(np.float32)
    with Swapper.open(folder / "bundle") as swapper:
        found = swapper.swap_crop(target, swapper.identity_of_crops([source]), noise=noise)
    pipeline = SwapPipeline.from_checkpoint(Checkpoint.load(folder / "student"))
    wanted = pipeline(
        to_tensor(target[None]), to_tensor(source[None]), noise=torch.from_numpy(noise)
    ).crops[0]
    apart = (wanted.permute(1, 2, 0).numpy() + 1) * 127.5 - found
    assert np.abs(apart).max() <= 1.0  # the runtime rounds to whole gray levels


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from conftest import NoiseDataset  # of the folder above

    torch.set_num_threads(1)
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _inputs.open_pictures = lambda path, loose: NoiseDataset()
    _compatibility.check_pictures = lambda path, swap: NoiseDataset()
    sys.exit(main(options(Path(sys.argv[1]))))
