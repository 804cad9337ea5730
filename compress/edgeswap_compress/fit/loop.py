"""The training loop: an objective gives losses, the loop steps, saves, resumes and reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgeswap_compress.errors import InvalidSettings, TrainingStopped
from edgeswap_compress.fit._optimizer import MasterOptimizer
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.machine.device import Compute
from edgeswap_compress.fit.machine.loss_scale import LossScale
from edgeswap_compress.fit.machine.memory import estimate_memory, require_memory
from edgeswap_compress.fit.observe.metrics_log import MetricsLog
from edgeswap_compress.fit.processes import processes
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_runtime.files import write_bytes

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Draw:
    """The randomness of one step: both generators are functions of (seed, step, rank) alone."""

    rng: np.random.Generator
    torch_rng: torch.Generator
    step: int = 0

    @classmethod
    def of(cls, seed: int, step: int, rank: int = 0) -> Draw:
        """Make the generators of a step; processes of other ranks draw other samples."""
        sequence = np.random.SeedSequence([seed, step, *([rank] if rank else [])])
        generator = torch.Generator().manual_seed(
            int(sequence.generate_state(1, np.uint64)[0] >> 1)
        )
        return cls(np.random.default_rng(sequence), generator, step)

    def normal(self, like: Tensor) -> Tensor:
        """Draw unit normal noise of the shape of ``like``, float32, on its device.

        The numbers are drawn by the processor, so that they are the same on every device.
        """
        return torch.randn(like.shape, generator=self.torch_rng).to(like.device)

    def shares(self, like: Tensor) -> Tensor:
        """Draw a number in [0, 1) for each sample of ``like``: (N, 1, 1, 1) float32."""
        return torch.from_numpy(self.rng.random((len(like), 1, 1, 1))).float().to(like.device)

    def chosen(self, share: float, like: Tensor) -> Tensor:
        """Choose each sample of ``like`` by that chance: (N,) bool."""
        return torch.from_numpy(self.rng.random(len(like)) < share).to(like.device)


class Objective(Protocol):
    """What the training loop fits: a module, its loss and its figures."""

    @property
    def module(self) -> nn.Module:
        """Give the module whose parameters learn."""
        ...

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of one batch and its parts.

        Args:
            draw: the randomness of this step.
            batch_size: samples in the batch.
            done: share of the training that is done, 0 to 1.
        """
        ...

    def evaluate(self) -> dict[str, float]:
        """Measure held-out figures of the module as it is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How often a run saves and evaluates, and when it stops early (seconds of wall time).

    Attributes:
        patience: evaluations in a row without a new lowest ``watch`` after which the training is
            held to be complete; 0 never.
        watch: name of that figure.
    """

    save_s: float = 120.0
    evaluate_s: float = 180.0
    stop_after_s: float | None = None
    patience: int = 0
    watch: str = "loss"

    @property
    def early(self) -> tuple[str, int]:
        """When to stop early: the figure, and how many evaluations without a new lowest one."""
        return self.watch, self.patience


def fit(
    objective: Objective,
    config: FitConfig,
    folder: Path,
    *,
    compute: Compute | None = None,
    cadence: Cadence | None = None,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
) -> bool:
    """Fit an objective's module, going on from ``folder`` where it was stopped.

    Every step's randomness is a function of (seed, step): a continued run follows the same curve.
    Processes launched together share each batch and average their gradients; the first writes.

    Args:
        objective: holds the module, on its device in any dtype; ends with its EMA weights.
        config: length, batch, optimizer.
        folder: of this run: ``state.safetensors``, ``metrics.jsonl`` and ``figures.json``.
        compute: tells float16, where the loss is scaled and autocast converts; else not needed.
        cadence: how often to save and evaluate; when to stop early.
        tracker: receives losses and figures.
        progress: told of steps done and in all.

    Returns:
        True when complete or stalled, False when ``cadence.stop_after_s`` cut it short.

    Raises:
        InvalidSettings: the memory is too small, see `require_memory`.
    """
    cadence, peers = cadence or Cadence(), processes()
    share, report = _share(config.batch_size, peers.count), progress or _silent
    folder.mkdir(parents=True, exist_ok=True)
    objective, scale = _autocast(objective, compute)
    optimizer, step = _begin(objective, config, folder / "state.safetensors", share, scale)
    log = MetricsLog(folder, tracker, config.batch_size, step) if peers.main else None
    begun = saved = evaluated = time.monotonic()
    stopped, stalled = False, peers.any(log is not None and log.stalled(*cadence.early))
    if log is not None:
        report(step, config.steps, "")
    while step < config.steps and not stopped and not stalled:
        loss, parts, norm = _step(objective, optimizer, config, share, step, scale)
        step += 1
        now = time.monotonic()
        stopped = cadence.stop_after_s is not None and now - begun > cadence.stop_after_s
        stalled = log is not None and log.stalled(*cadence.early)
        (stopped, stalled), means = _agreed([stopped, stalled], [loss, *parts.values()])
        if log is None:
            continue
        log.add_step(norm, ("loss", *parts), means)
        report(step, config.steps, log.line())
        if now - evaluated > cadence.evaluate_s or step == config.steps:
            report(step, config.steps, f"{log.line()}, evaluating")
            log.write(step, _evaluate_ema(objective, optimizer))
            evaluated = time.monotonic()
        if now - saved > cadence.save_s or step == config.steps or stopped or stalled:
            _save(optimizer, folder / "state.safetensors", step, config, scale)
            saved = time.monotonic()
    optimizer.use(optimizer.ema)
    return stalled or step >= config.steps


def _autocast(objective: Objective, compute: Compute | None) -> tuple[Objective, LossScale]:
    """Let an objective be computed as its dtype needs it, and give the scale of its loss."""
    scale = LossScale(scales=compute is not None and compute.dtype == torch.float16)
    return objective if compute is None else Autocasting(objective, compute), scale


def _agreed(ends: list[bool], values: list[float]) -> tuple[list[bool], list[float]]:
    """Average values over the processes, and tell which ends hold in one of them."""
    figures = torch.tensor([*(float(end) for end in ends), *values])
    processes().average([figures])
    found = figures.tolist()
    return [end > 0 for end in found[: len(ends)]], found[len(ends) :]


def _begin(
    objective: Objective, config: FitConfig, state: Path, share: int, scale: LossScale
) -> tuple[MasterOptimizer, int]:
    """Make the optimizer, restored where there is a state, and give the step it is at."""
    if not state.exists():
        _check_memory(objective, config, share)
    optimizer = MasterOptimizer(objective.module, config)
    return optimizer, _restore(optimizer, state, config, scale)


def _silent(done: int, total: int, text: str) -> None:
    """Report nothing."""


class Autocasting:
    """Objective whose loss and figures are computed under ``Compute.autocast``."""

    def __init__(self, objective: Objective, compute: Compute) -> None:
        self._objective, self._compute = objective, compute

    @property
    def module(self) -> nn.Module:
        """Give the module whose parameters learn."""
        return self._objective.module

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of one batch and its parts."""
        with self._compute.autocast():
            return self._objective.loss(draw, batch_size, done)

    def evaluate(self) -> dict[str, float]:
        """Measure the figures."""
        with self._compute.autocast():
            return self._objective.evaluate()


def _check_memory(objective: Objective, config: FitConfig, share: int) -> None:
    """State how much memory the fit will take, and refuse it where there is less."""
    device = next(objective.module.parameters()).device

    def forward(samples: int) -> object:
        return objective.loss(Draw.of(config.seed, 0, processes().rank), samples, 0.0)

    estimate = estimate_memory(objective.module, forward, config.optimizer, share)
    require_memory(estimate, device)


def _step(
    objective: Objective,
    optimizer: MasterOptimizer,
    config: FitConfig,
    share: int,
    step: int,
    scale: LossScale,
) -> tuple[float, dict[str, float], float]:
    """Take a step on this process's share of the batch; give its loss, parts and gradient norm."""
    peers = processes()
    draw = Draw.of(config.seed, step, peers.rank)
    loss, parts = objective.loss(draw, share, step / config.steps)
    (loss * scale.value).backward()
    norm = optimizer.step(step, peers.average, scale)
    return float(loss.detach()), parts, norm


def _share(batch_size: int, count: int) -> int:
    if batch_size % count:
        raise InvalidSettings(
            f"batch size {batch_size} cannot be shared by {count} processes: expected a multiple"
        )
    return batch_size // count


def _evaluate_ema(objective: Objective, optimizer: MasterOptimizer) -> dict[str, float]:
    optimizer.use(optimizer.ema)
    objective.module.eval()
    with torch.no_grad():
        figures = objective.evaluate()
    objective.module.train()
    optimizer.use(optimizer.master)
    return figures


def _save(
    optimizer: MasterOptimizer, path: Path, step: int, config: FitConfig, scale: LossScale
) -> None:
    meta = {"step": str(step), "steps": str(config.steps), "seed": str(config.seed)}
    if scale.scales:
        meta["loss_scale"] = str(scale.value)
    tensors = {name: tensor.contiguous() for name, tensor in optimizer.tensors().items()}
    write_bytes(path, save(tensors, meta))


def _restore(optimizer: MasterOptimizer, path: Path, config: FitConfig, scale: LossScale) -> int:
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        meta = file.metadata()
        found = (int(meta["steps"]), int(meta["seed"]))
        if found != (config.steps, config.seed):
            raise TrainingStopped(
                f"{path} belongs to another run: expected steps and seed "
                f"{(config.steps, config.seed)}, found {found}; name another run folder"
            )
        optimizer.restore({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    if scale.scales and "loss_scale" in meta:
        scale.value = float(meta["loss_scale"])
    return int(meta["step"])
