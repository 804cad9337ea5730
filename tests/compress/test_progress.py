"""Progress outside a terminal: few lines, each with what is left."""

from __future__ import annotations

import pytest

from edgeswap_compress import _progress
from edgeswap_compress._progress import stage_progress


def test_lines_come_seldom_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    with stage_progress() as report:
        for step in range(101):
            report("fit", step, 100, f"loss {step}")
            now[0] += 1.0
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split()[1] for line in lines] == ["30/100", "60/100", "90/100", "100/100"]
    assert lines[0] == "fit 30/100 loss 30, 1 min left"
    assert lines[-1].endswith("0 min left")
