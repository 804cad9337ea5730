"""A training process that is killed, or meets a full disk, leaves a run folder that continues."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.loop import Cadence, Draw, fit

CONFIG = FitConfig(samples=480, batch_size=4, warmup_steps=5, optimizer="muon")
STATE = "state.safetensors"


class Layers:
    """A small network, so that saving its state is most of a step's time."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64))

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        x = draw.normal(torch.empty(batch_size, 64))
        return (self.module(x) - x.flip(1)).square().mean(), {"drawn": float(x[0, 0])}

    def evaluate(self) -> dict[str, float]:
        with torch.no_grad():
            return {"first": float(self.module(torch.ones(1, 64))[0, 0])}


def start(folder: Path, *limit_bytes: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(folder), *limit_bytes]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    message = process.communicate()[1]
    assert process.returncode == 0, message


def curve(folder: Path) -> list[tuple[float, ...]]:
    keys = ("step", "loss", "gradient_norm", "drawn", "first")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [tuple(json.loads(line)[key] for key in keys) for line in lines]


def test_killed_at_random_moments_the_run_ends_as_if_it_never_was(tmp_path: Path) -> None:
    whole = Layers()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    fit(whole, CONFIG, tmp_path / "whole", cadence=Cadence(evaluate_s=0.0, save_s=0.0))
    torch.set_num_threads(threads)
    run, moments, seen = tmp_path / "killed", random.Random(0), []
    for _ in range(3):
        process = start(run)
        steps = len(seen)
        while process.poll() is None and steps < len(seen) + 10:  # let it get somewhere
            time.sleep(0.01)
            log = run / "metrics.jsonl"
            steps = len(log.read_text().splitlines()) if log.exists() else 0
        time.sleep(moments.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        load_file(run / STATE)  # readable, whenever the kill came
        seen.append(steps)
    finish(start(run))
    assert curve(run) == curve(tmp_path / "whole")
    first, second = load_file(tmp_path / "whole" / STATE), load_file(run / STATE)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_full_disk_stops_the_run_and_keeps_its_last_state(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    fit(Layers(), CONFIG, run, cadence=Cadence(save_s=0.0, stop_after_s=0.05))
    before = (run / STATE).read_bytes()
    process = start(run, str(len(before) // 2))
    message = process.communicate()[1]
    assert process.returncode == 2
    assert "File too large" in message
    assert (run / STATE).read_bytes() == before
    assert {path.name for path in run.iterdir()} <= {STATE, "metrics.jsonl", "figures.json"}
    finish(start(run))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    try:
        fit(Layers(), CONFIG, Path(sys.argv[1]), cadence=Cadence(evaluate_s=0.0, save_s=0.0))
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
