"""The run folder of a distillation: whose it is, and how long its fitting lasts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeswap_compress._progress import StageProgress
from edgeswap_compress.errors import TrainingStopped
from edgeswap_compress.fit.loop import FIGURES, Draw, Objective, Progress
from edgeswap_compress.fit.processes import processes
from edgeswap_runtime.files import sha256_file, write_json


def reporter(progress: StageProgress | None) -> Callable[[str], Any]:
    """Progress callbacks of named stages; silent ones for None."""
    if progress is None:
        return lambda name: None
    return lambda name: lambda done, total, text: progress(name, done, total, text)


def say(progress: Progress | None, text: str) -> None:
    """Report that something short begins."""
    if progress is not None:
        progress(0, 1, text)


def fingerprint(path: Path) -> str:
    """Hash of a checkpoint: its swap.json lists the hash of every other file."""
    return sha256_file(path / "swap.json")


def claim(run: Path, key: dict[str, str]) -> None:
    """Make a run folder this call's own.

    Raises:
        TrainingStopped: it is another's.
    """
    run.mkdir(parents=True, exist_ok=True)
    file = run / "run.json"
    if not file.exists():
        write_json(file, key)
    elif json.loads(file.read_text()) != key:
        raise TrainingStopped(
            f"{run} belongs to another distillation: expected the same teacher, student, data and "
            "settings; name another --run folder"
        )


def settings_of(config: Any) -> dict[str, Any]:
    """What of a config a run folder belongs to: all but the dtype, which may differ by machine."""
    return {name: value for name, value in asdict(config).items() if name != "dtype"}


def last_figures(run: Path) -> dict[str, float]:
    """A fit's last evaluation, rounded, for the history: the same whatever cut the run short."""
    figures: dict[str, float] = json.loads((run / FIGURES).read_text())
    return {name: round(value, 6) for name, value in figures.items()}


def steps_in(
    objective: Objective,
    minutes: float,
    batch_size: int,
    seed: int,
    file: Path,
    progress: Progress | None = None,
) -> int:
    """How many steps some minutes are enough for, measured once and kept in ``file``."""
    with processes().main_first():
        if not file.exists():
            steps = max(10, int(minutes * 60.0 / _step_s(objective, batch_size, seed, progress)))
            write_json(file, {"steps": steps})
    return int(json.loads(file.read_text())["steps"])


def _step_s(objective: Objective, batch_size: int, seed: int, progress: Progress | None) -> float:
    """Seconds of a step; the module ends as it was."""
    before = {name: tensor.clone() for name, tensor in objective.module.named_buffers()}
    begun, timed = 0.0, 5  # one round of critic and student
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
