"""Run folders: whose they are, and how long a budget lasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeswap_compress.errors import TrainingStopped
from edgeswap_compress.fit import run_folder
from edgeswap_compress.fit.config import FitBudget, FitOptions, FittedConfig
from edgeswap_compress.fit.run_folder import budgeted_steps, claim


def test_a_run_folder_is_its_first_callers(tmp_path: Path) -> None:
    run = tmp_path / "run"
    claim(run, {"settings": (1, 2)}, of="distillation", same="teacher and settings")
    claim(run, {"settings": [1, 2]}, of="distillation", same="teacher and settings")
    with pytest.raises(TrainingStopped) as raised:
        claim(run, {"settings": [1, 3]}, of="distillation", same="teacher and settings")
    assert str(raised.value) == (
        f"{run} belongs to another distillation: expected the same teacher and settings; name "
        "another run folder with --run"
    )


@pytest.mark.parametrize("content", ["", "{", "[1", '{"a": NaN}'])
def test_a_damaged_run_folder_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(TrainingStopped, match=r"run\.json is damaged .*name another run folder"):
        claim(tmp_path, {}, of="training", same="settings")


def test_a_budget_in_samples_is_shared_and_never_empty(tmp_path: Path) -> None:
    config = FittedConfig(budget=FitBudget(samples=320), fit=FitOptions(batch_size=32))
    objective: Any = None  # is not timed
    assert budgeted_steps(objective, config, tmp_path / "no") == 10
    assert budgeted_steps(objective, config, tmp_path / "no", share=0.25) == 2
    assert budgeted_steps(objective, config, tmp_path / "no", share=0.01) == 1
    assert not (tmp_path / "no").exists()


def test_a_budget_in_minutes_is_timed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.5, 99.0])
    monkeypatch.setattr(run_folder, "_step_s", lambda *args: next(seconds))
    config = FittedConfig(budget=FitBudget(minutes=2.0))
    objective: Any = None
    for _ in range(2):  # a continued run has as many steps, however fast it is
        assert budgeted_steps(objective, config, tmp_path / "fit.json", share=0.5) == 120
