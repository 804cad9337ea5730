"""Where a fit computes: devices that are not there, memory that is not enough, float16."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from edgeswap_compress.errors import InvalidSettings, TrainingStopped
from edgeswap_compress.fit._optimizer import MasterOptimizer
from edgeswap_compress.fit.config import FitConfig, FitOptions
from edgeswap_compress.fit.dtype import Probed
from edgeswap_compress.fit.loop import Draw, fit
from edgeswap_compress.fit.machine import device as devices
from edgeswap_compress.fit.machine import memory
from edgeswap_compress.fit.machine.device import Compute, device_line, resolve_device
from edgeswap_compress.fit.machine.loss_scale import FIRST, GROWS_AFTER, LossScale
from edgeswap_compress.fit.machine.memory import MemoryEstimate, estimate_memory, require_memory
from edgeswap_compress.fit.processes import taken_machine
from edgeswap_runtime.cli import main

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "CUDA", "cpu:0", ""])
def test_names_of_no_device_are_refused(name: str) -> None:
    with pytest.raises(InvalidSettings, match="expected one of auto, cpu, cuda, cuda:N, mps"):
        FitOptions(device=name)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "granted_devices", lambda: ["cpu"])
    for name in ("cuda", "cuda:3", "mps"):
        with pytest.raises(InvalidSettings, match=f"device {name} is not there .*: expected one"):
            resolve_device(name)
    assert resolve_device("auto") == CPU
    assert device_line("cpu") == "device: cpu (as asked)"


@pytest.mark.parametrize(("card_ms", "taken"), [(1.0, "cuda:0"), (90.0, "cpu")])
def test_auto_takes_the_faster_device(
    card_ms: float, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeswap_compress.fit import dtype

    def probe(device: str) -> Probed:
        times = {"float32": 80.0 if device == "cpu" else card_ms}
        return Probed(times, times)

    monkeypatch.setattr(dtype, "probe", probe)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(devices, "granted_devices", lambda: ["cuda:0", "cpu"])
    assert str(resolve_device("auto")) == taken


def test_each_of_several_processes_has_its_own_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "granted_devices", lambda: ["cuda:0", "cuda:1", "cpu"])
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert str(resolve_device("cuda")) == "cuda:1"
    with pytest.raises(InvalidSettings, match="one card for each; give --device cuda"):
        resolve_device("cuda:1")


def test_the_command_line_says_it_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", "a", "b", "c", "--device", "gpu"]) == 2
    assert "expected one of auto, cpu, cuda" in capsys.readouterr().err


def test_the_options_are_decided_once() -> None:
    taken = taken_machine(FitOptions(device="auto", dtype="float32"))
    assert (taken.device, taken.dtype) == (str(resolve_device("auto")), "float32")


class Line:
    """Fit a line; ``wide`` makes what autograd keeps grow."""

    def __init__(self, wide: int = 4, gain: float = 1.0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.module = nn.Sequential(nn.Linear(4, wide), nn.Tanh(), nn.Linear(wide, 1))
        self.gain = gain

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        x = draw.normal(torch.empty(batch_size, 4))
        error = self.module(x).float() - x.sum(1, keepdim=True)
        return self.gain * error.square().mean(), {}

    def evaluate(self) -> dict[str, float]:
        return {"weight": float(next(self.module.parameters()).abs().mean())}


def test_memory_is_counted_from_weights_and_what_autograd_keeps() -> None:
    line = Line(wide=1000)
    count = sum(p.numel() for p in line.module.parameters())

    def forward(samples: int) -> object:
        return line.loss(Draw.of(0, 0), samples, 0.0)

    found = estimate_memory(line.module, forward, "adamw", 64)
    assert found.optimizer == count * 4 * 6  # master, average, gradient twice, two moments
    # what tanh keeps is its output, the last layer's input: 1000 numbers of each sample
    assert 1.0 <= found.activations / (1.5 * 64 * 1000 * 4) < 1.2
    double = estimate_memory(line.module, forward, "adamw", 128)
    assert double.activations == pytest.approx(2 * found.activations, rel=0.01)


def test_what_cannot_fit_is_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = FitConfig(samples=40, batch_size=4)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 100)
    with pytest.raises(InvalidSettings, match="give a smaller --batch-size, --checkpointing"):
        fit(Line(), config, tmp_path)
    assert not (tmp_path / "state.safetensors").exists()
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**10)
    with caplog.at_level("INFO"):
        fit(Line(), config, tmp_path)
    assert "memory: about " in caplog.text and "10.00 GB free on cpu" in caplog.text
    require_memory(MemoryEstimate(1, 1, 1), CPU, tell=False)


def test_the_loss_scale_halves_at_an_overflow_and_grows_again() -> None:
    scale = LossScale(scales=True)
    assert scale.overflowed() and scale.value == FIRST / 2
    for _ in range(GROWS_AFTER):
        scale.went_well()
    assert scale.value == FIRST
    still = LossScale(scales=False)
    assert not still.overflowed() and still.value == 1.0


@pytest.mark.parametrize(("gain", "overflows"), [(1e-2, False), (1e3, True)])
def test_float16_learns_and_leaves_out_steps_that_overflow(
    tmp_path: Path, gain: float, overflows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scale is halved at each overflow, and kept with the state."""
    halved: list[float] = []
    plain = LossScale.overflowed

    def overflowed(self: LossScale) -> bool:
        before, left = self.value, plain(self)
        halved.append(before / self.value)
        return left

    monkeypatch.setattr(LossScale, "overflowed", overflowed)
    line, config = Line(wide=16, gain=gain), FitConfig(samples=400, batch_size=4)
    compute = Compute(CPU, torch.float16)
    compute.place(line.module)
    assert next(line.module.parameters()).dtype == torch.float32
    before = [p.detach().clone() for p in line.module.parameters()]
    assert fit(line, config, tmp_path, compute=compute)
    assert all(bool(p.isfinite().all()) for p in line.module.parameters())
    pairs = zip(before, line.module.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    assert bool(halved) == overflows and set(halved) <= {2.0}
    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:
        scale = float(file.metadata()["loss_scale"])
    assert scale == FIRST / 2 ** len(halved)
    assert len(halved) < config.steps  # most steps were taken


def test_a_step_that_overflows_leaves_the_weights_and_lowers_the_scale() -> None:
    module = nn.Linear(4, 1)
    optimizer, scale = (
        MasterOptimizer(module, FitConfig(samples=8, batch_size=4)),
        LossScale(scales=True),
    )
    before = [p.detach().clone() for p in module.parameters()]
    for value, left in ((math.inf, True), (0.5 * FIRST, False)):
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, value)
        optimizer.step(0, scale=scale)
        same = [torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]
        assert all(same) if left else not any(same)
        assert scale.value == FIRST / 2
    for parameter in module.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    with pytest.raises(TrainingStopped, match="expected a finite norm"):
        optimizer.step(1)  # unscaled: the gradients themselves are at fault
