"""The training loop: deterministic, resumable exactly, never unreadable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgeswap_compress.errors import InvalidSettings, TrainingStopped
from edgeswap_compress.fit._optimizer import MasterOptimizer
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.loop import Cadence, Draw, fit


class Quadratic:
    """Pulls a vector to one that is hidden in noise."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.module = nn.Linear(4, 1, bias=False, dtype=dtype)
        nn.init.zeros_(self.module.weight)

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        x = draw.normal(torch.empty(batch_size, 4)).to(self.module.weight.dtype)
        wanted = x.sum(1, keepdim=True)
        loss = (self.module(x) - wanted).float().square().mean()
        return loss, {"drawn": float(draw.rng.random())}

    def evaluate(self) -> dict[str, float]:
        return {"distance": float((self.module.weight.float() - 1).abs().max())}


CONFIG = FitConfig(samples=400, batch_size=4, learning_rate=0.05, warmup_steps=5)


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_and_logs(tmp_path: Path) -> None:
    objective = Quadratic()
    assert fit(objective, CONFIG, tmp_path, cadence=Cadence(evaluate_s=0.0))
    logged = rows(tmp_path)
    assert [row["step"] for row in logged] == list(range(1, 101))
    assert logged[-1]["samples"] == 400
    assert logged[-1]["distance"] < 0.1 < logged[0]["distance"]


def test_two_runs_agree_bit_for_bit(tmp_path: Path) -> None:
    first, second = Quadratic(), Quadratic()
    fit(first, CONFIG, tmp_path / "a")
    fit(second, CONFIG, tmp_path / "b")
    assert torch.equal(first.module.weight, second.module.weight)


def test_a_stopped_run_continues_on_the_same_curve(tmp_path: Path) -> None:
    whole, parts = Quadratic(), Quadratic()
    fit(whole, CONFIG, tmp_path / "whole", cadence=Cadence(evaluate_s=0.0))
    stops = 0
    cadence = Cadence(evaluate_s=0.0, save_s=0.0, stop_after_s=0.01)
    while not fit(parts, CONFIG, tmp_path / "parts", cadence=cadence):
        stops += 1
        parts = Quadratic()  # a new process would begin with fresh weights
    assert stops > 0
    assert torch.equal(whole.module.weight, parts.module.weight)
    keys = ("step", "loss", "drawn", "distance")
    curves = [
        [tuple(row[key] for key in keys) for row in rows(tmp_path / name)]
        for name in ("whole", "parts")
    ]
    assert curves[0] == curves[1]


def test_metrics_beyond_the_saved_state_are_dropped(tmp_path: Path) -> None:
    cadence = Cadence(evaluate_s=0.0, save_s=0.0, stop_after_s=0.0)
    fit(Quadratic(), CONFIG, tmp_path, cadence=cadence)
    saved = rows(tmp_path)[-1]["step"]
    with (tmp_path / "metrics.jsonl").open("a") as file:  # a kill came before the next save
        file.write(json.dumps({"step": saved + 1, "loss": 123.0}) + "\n")
    fit(Quadratic(), CONFIG, tmp_path, cadence=Cadence(evaluate_s=0.0))
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 101))
    assert all(row["loss"] != 123.0 for row in rows(tmp_path))


def test_another_length_is_refused(tmp_path: Path) -> None:
    fit(Quadratic(), CONFIG, tmp_path)
    other = FitConfig(samples=800, batch_size=4)
    with pytest.raises(TrainingStopped, match="belongs to another run"):
        fit(Quadratic(), other, tmp_path)


def test_infinite_gradients_stop_the_run(tmp_path: Path) -> None:
    objective = Quadratic()
    with torch.no_grad():
        objective.module.weight.fill_(float("inf"))
    with pytest.raises(TrainingStopped, match="gradient of step 0"):
        fit(objective, CONFIG, tmp_path)


def test_no_steps_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="make no step"):
        FitConfig(samples=3, batch_size=4)


def test_master_weights_keep_updates_that_bfloat16_would_lose() -> None:
    """1 + 1e-4 is 1 in bfloat16; a hundred such updates must still add up."""
    config = FitConfig(samples=400, learning_rate=1e-4, warmup_steps=1, hold=1 - 1e-9, batch_size=4)
    module = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    nn.init.ones_(module.weight)
    optimizer = MasterOptimizer(module, config)
    for step in range(100):
        module.weight.grad = torch.ones_like(module.weight)
        optimizer.step(step)
    assert float(module.weight.detach()) < 0.995


def test_progress_is_told_every_step(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    fit(
        Quadratic(), CONFIG, tmp_path, progress=lambda done, total, text: told.append((done, total))
    )
    assert told == [(step, 100) for step in [0, *range(1, 101), 100]]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_muon_turns_matrices_and_is_restored_exactly(memory_format: torch.memory_format) -> None:
    """An orthogonalised update of a convolution, the same however its weight lies in memory."""
    config = FitConfig(samples=400, learning_rate=1e-2, weight_decay=0.0, warmup_steps=1,
                       batch_size=4, optimizer="muon")  # fmt: skip
    torch.manual_seed(0)
    gradients = torch.randn(3, 64, 64, 3, 3)
    module = nn.Conv2d(64, 64, 3)
    begun = module.weight.detach().clone()
    module = module.to(memory_format=memory_format)
    optimizer = MasterOptimizer(module, config)

    def step(number: int, optimizer: MasterOptimizer) -> None:
        live = optimizer.live[0]
        live.grad = gradients[number].clone().to(memory_format=memory_format)
        optimizer.step(number)

    step(0, optimizer)
    update = (module.weight.detach() - begun).flatten(1)
    spectrum = torch.linalg.svdvals(update)
    assert float(spectrum.max() / spectrum.min()) < 2  # the gradient's own ratio is larger
    assert float((update * gradients[0].flatten(1)).sum()) < 0
    step(1, optimizer)
    kept = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    step(2, optimizer)
    wanted = module.weight.detach().clone()
    other = MasterOptimizer(nn.Conv2d(64, 64, 3).to(memory_format=memory_format), config)
    other.restore(kept)
    step(2, other)
    assert torch.equal(other.live[0].detach(), wanted)
