"""Run folders: whose a folder is, how long its fitting lasts, and what that found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from edgeswap_compress.composed import settings_in
from edgeswap_compress.errors import TrainingStopped
from edgeswap_compress.fit.config import FittedConfig
from edgeswap_compress.fit.loop import Autocasting, Draw, Objective, Progress
from edgeswap_compress.fit.machine.memory import estimate_memory, require_memory
from edgeswap_compress.fit.machine.options import FitMachine
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.observe.metrics_log import FIGURES
from edgeswap_compress.fit.processes import processes
from edgeswap_compress.progress import StageProgress
from edgeswap_runtime.files import canonical_json, sha256_file, write_json
from edgeswap_runtime.strict_json import JsonError, parse_json, read_json

_MACHINE = frozenset(field.name for field in fields(FitMachine))


def reporter(progress: StageProgress | None) -> Callable[[str], Any]:
    """Make progress callbacks of named stages; silent ones for None."""
    if progress is None:
        return lambda name: None
    return lambda name: lambda done, total, text: progress(name, done, total, text)


def say(progress: Progress | None, text: str) -> None:
    """Report that something short begins."""
    if progress is not None:
        progress(0, 1, text)


def fingerprint(path: Path) -> str:
    """Hash a checkpoint by its swap.json, which lists the hash of every other file."""
    return sha256_file(path / "swap.json")


def claim(run: Path, key: Mapping[str, Any], *, of: str, same: str) -> None:
    """Make a run folder this call's own, or make sure that it was so before.

    Args:
        run: folder, made if missing.
        key: what the run belongs to, as JSON; kept in ``run.json``.
        of: what is run, for the message: "distillation".
        same: what a continued run must have in common, for the message: "teacher and settings".

    Raises:
        TrainingStopped: it is another's.
    """
    run.mkdir(parents=True, exist_ok=True)
    file, wanted = run / "run.json", parse_json(canonical_json(key))
    if not file.exists():
        write_json(file, wanted)
    elif _kept(file) != wanted:
        raise TrainingStopped(
            f"{run} belongs to another {of}: expected the same {same}; name another run folder "
            "with --run"
        )


def _kept(file: Path) -> Any:
    """Read a file that an earlier call of the same run wrote.

    Raises:
        TrainingStopped: it is damaged.
    """
    try:
        return read_json(file)
    except (OSError, JsonError) as error:
        raise TrainingStopped(
            f"{file} is damaged ({error}): name another run folder with --run"
        ) from error


def settings_of(config: Any) -> dict[str, Any]:
    """Give what of a config a run belongs to: all but a `FitMachine`, which may differ."""
    return _without_machine(settings_in(config))


def _without_machine(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_machine(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name not in _MACHINE
    }


def last_figures(run: Path) -> dict[str, float]:
    """Read a fit's last evaluation, rounded, for the history."""
    figures: dict[str, float] = _kept(run / FIGURES)
    return {name: round(value, 6) for name, value in figures.items()}


def budgeted_steps(
    objective: Objective,
    config: FittedConfig,
    file: Path,
    *,
    share: float = 1.0,
    progress: Progress | None = None,
) -> int:
    """Give the steps that a budget, or a share of it, is enough for.

    Args:
        objective: is timed where the budget is in minutes.
        config: with the budget and the batch size.
        file: keeps what the timing found, so that a continued run has as many steps.
        share: of the budget, 0 to 1.
        progress: of the timing.
    """
    budget, fit = config.budget, config.fit
    objective = Autocasting(objective, fit.compute())
    if budget.samples is not None:
        return max(1, round(budget.samples * share) // fit.batch_size)
    return steps_in(objective, budget.minutes * share, fit.batch_size, fit.seed, file, progress)


def steps_in(
    objective: Objective,
    minutes: float,
    batch_size: int,
    seed: int,
    file: Path,
    progress: Progress | None = None,
) -> int:
    """Measure how many steps some minutes are enough for, once; keep the answer in ``file``."""
    with processes().main_first():
        if not file.exists():
            steps = max(10, int(minutes * 60.0 / _step_s(objective, batch_size, seed, progress)))
            write_json(file, {"steps": steps})
    return int(_kept(file)["steps"])


def _step_s(objective: Objective, batch_size: int, seed: int, progress: Progress | None) -> float:
    """Time a step, in seconds; the module ends as it was."""
    before = {name: tensor.clone() for name, tensor in objective.module.named_buffers()}
    begun, timed = 0.0, 5  # one round of critic and student
    estimate = estimate_memory(
        objective.module,
        lambda samples: objective.loss(Draw.of(seed, 0), samples, 0.0),
        "adamw",
        batch_size,
    )
    require_memory(estimate, device_of(objective.module), tell=False)
    for i in range(2 + timed):
        if i == 2:
            begun = time.monotonic()
        objective.loss(Draw.of(seed, i), batch_size, 0.0)[0].backward()
        if progress is not None:
            progress(i + 1, 2 + timed, "timing a step")
    # an optimizer step, saving and evaluation take about a fifth on top
    step_s = 1.2 * (time.monotonic() - begun) / timed
    objective.module.zero_grad(set_to_none=True)
    for name, tensor in objective.module.named_buffers():
        tensor.copy_(before[name])
    return step_s


@torch.no_grad()
def trained_module(module: Any, run: Path, prefix: str = "") -> Any:
    """Give a float32 module the averaged weights of a fit, and return it."""
    with safe_open(run / "state.safetensors", framework="pt") as file:
        learned = set(file.keys())
        for name, parameter in module.named_parameters():
            if f"ema.{prefix}{name}" in learned:
                parameter.copy_(file.get_tensor(f"ema.{prefix}{name}"))
    return module
