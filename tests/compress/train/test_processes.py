"""Two gloo processes launched by Accelerate train as one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit import loop
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.loop import Cadence, Draw, fit

CONFIG = FitConfig(samples=480, batch_size=8, warmup_steps=1, learning_rate=0.05)


class Line:
    """Fit the sum of four numbers; as ``ranks`` says, from the draws of several processes."""

    def __init__(self, ranks: int = 1) -> None:
        self.module = nn.Linear(4, 1, bias=False)
        nn.init.zeros_(self.module.weight)
        self.ranks, self.step = ranks, 0

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        draws = [draw, *(Draw.of(CONFIG.seed, self.step, r) for r in range(1, self.ranks))]
        self.step += batch_size == CONFIG.batch_size  # not where memory is estimated, on two
        share = batch_size // self.ranks
        x = torch.from_numpy(np.concatenate([d.rng.normal(size=(share, 4)) for d in draws])).float()
        loss = (self.module(x) - x.sum(1, keepdim=True)).square().mean()
        return loss, {"share": float(batch_size)}

    def evaluate(self) -> dict[str, float]:
        return {"sum": float(self.module.weight.sum())}


def launch(folder: Path, *stop_after_s: str) -> subprocess.CompletedProcess[str]:
    options = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    options += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", *options]
    return subprocess.run(
        [*launcher, __file__, str(folder), *stop_after_s],
        capture_output=True,
        text=True,
        check=False,
    )


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_follow_the_curve_of_one_with_the_same_samples(tmp_path: Path) -> None:
    cadence = Cadence(evaluate_s=0.0)
    alone = Line(ranks=2)
    fit(alone, CONFIG, tmp_path / "alone", cadence=cadence)
    stopped = launch(tmp_path / "two", "0.05")
    assert stopped.returncode == 0, stopped.stderr
    assert not (tmp_path / "two" / "finished-0").exists()  # stopped early, all together
    finished = launch(tmp_path / "two")
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in tmp_path.glob("two/finished-*")} == {"finished-0", "finished-1"}
    one, two = rows(tmp_path / "alone"), rows(tmp_path / "two")
    assert [row["step"] for row in two] == [row["step"] for row in one]  # one writer, no gap
    assert {row["share"] for row in two} == {CONFIG.batch_size / 2}
    for name in ("loss", "sum"):
        first, second = ([row[name] for row in curve] for curve in (one, two))
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_a_batch_that_cannot_be_shared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Three:
        count, rank, main = 3, 0, True

    monkeypatch.setattr(loop, "processes", Three)
    with pytest.raises(InvalidSettings, match="shared by 3 processes"):
        fit(Line(), CONFIG, tmp_path)


if __name__ == "__main__":
    run = Path(sys.argv[1])
    stop = float(sys.argv[2]) if len(sys.argv) > 2 else None
    if fit(Line(), CONFIG, run, cadence=Cadence(evaluate_s=0.0, save_s=0.0, stop_after_s=stop)):
        (run / f"finished-{loop.processes().rank}").touch()
