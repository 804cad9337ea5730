"""Progress outside a terminal: few lines, each with what is left."""

from __future__ import annotations

import threading
import time

import pytest

from edgeswap_compress import progress
from edgeswap_compress.progress import StageProgress, stage_progress, steady


def test_lines_come_seldom_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with stage_progress() as report:
        for step in range(101):
            report("fit", step, 100, f"loss {step}")
            now[0] += 1.0
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/100" for n in range(5, 101, 5)]
    assert lines[0] == "fit 5/100 loss 5, 2 min left"
    assert lines[-1].endswith("0 min left")


def test_silence_is_filled_with_the_last_report() -> None:
    told: list[tuple[str, int, int, str]] = []
    again = threading.Event()

    def progress(*report: object) -> None:
        told.append(report)  # type: ignore[arg-type]
        if len(told) == 3:
            again.set()

    with steady(progress, every_s=0.01) as report:
        assert report is not None
        assert not told  # there is nothing to repeat yet
        report("fit", 1, 2, "slow")
        assert again.wait(10)
    assert set(told) == {("fit", 1, 2, "slow")}
    ended = len(told)
    time.sleep(0.05)
    assert len(told) == ended


def test_news_come_once_and_at_once() -> None:
    told: list[int] = []
    progress: StageProgress = lambda stage, done, total, text: told.append(done)  # noqa: E731
    with steady(progress, every_s=60) as report:
        assert report is not None
        for done in range(5):
            report("fit", done, 5, "")
            assert told[-1] == done
    assert told == [0, 1, 2, 3, 4]
    with steady(None) as report:
        assert report is None
