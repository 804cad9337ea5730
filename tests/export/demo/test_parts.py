"""The demo's own arithmetic: time that is left, interleaving, medians, the page."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeswap_export.demo._facts import busy_note, summary
from edgeswap_export.demo._overview import closeup, overview
from edgeswap_export.demo._progress import PACES, QUIET_S, StepProgress, clock_time
from edgeswap_export.demo._quality import Truths, fidelity
from edgeswap_export.demo._report import table, write_report
from edgeswap_export.demo._speed import Speed, Work, expected, measure_speed
from edgeswap_runtime.pictures.mark import read_mark


class FakeClock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Recorder:
    """Every line with the time it was said at."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.lines = clock, []

    def __call__(self, line: str) -> None:
        self.lines.append((self.clock(), line))


@pytest.mark.parametrize("slower", [0.5, 1.0, 4.0])
def test_no_step_is_silent_for_long_whatever_it_says_itself(slower: float) -> None:
    clock = FakeClock()
    heard = Recorder(clock)
    steps = StepProgress({"prune": 40.0, "distill": 100.0, "export": 15.0}, heard, clock)
    for name, seconds in (("prune", 40.0), ("distill", 100.0), ("export", 15.0)):
        with steps.step(name):
            if name == "distill":
                steps.doing("trajectories 3 %")
            for _ in range(int(seconds * slower)):
                clock.now += 1.0
                steps.tick()
    times = [100.0, *(when for when, _ in heard.lines), clock.now]
    assert max(np.diff(times)) <= QUIET_S <= 10.0
    assert sum(steps.took_s.values()) == pytest.approx(155.0 * slower, abs=2)
    assert heard.lines[0][1] == "[1/3] prune (0% done, about 2:35 left)"
    assert any("[2/3] distill: trajectories 3 %" in line for _, line in heard.lines)


def test_what_is_left_follows_the_machine() -> None:
    """A step that took twice as long doubles what is expected of the next, within bounds."""
    clock = FakeClock()
    steps = StepProgress({"one": 10.0, "two": 20.0, "three": 30.0}, lambda line: None, clock)
    with steps.step("one"):
        assert steps.left_s() == 60.0
        clock.now += 4.0
        assert steps.left_s() == 56.0
        clock.now += 16.0
        assert steps.left_s() == 1.0 + 50.0  # late: a tenth of the step stays
    with steps.step("two"):
        assert steps.left_s() == 2 * 50.0
        clock.now += 1e6
    assert steps.left_s() == PACES[1] * 30.0


def test_a_thread_ticks_beside_the_steps() -> None:
    lines: list[str] = []
    steps = StepProgress({"one": 1.0}, lines.append, clock=lambda: 50.0 * time.monotonic())
    with steps.watched(every_s=0.01), steps.step("one"):
        time.sleep(0.5)  # 25 of its seconds
    assert 3 <= len(lines) <= 7


def test_what_is_new_is_said_but_not_all_at_once() -> None:
    clock = FakeClock()
    heard = Recorder(clock)
    steps = StepProgress({"one": 10.0}, heard, clock)
    with steps.step("one"):
        for number in range(100):
            steps.doing(f"part {number}")
            clock.now += 0.1
    assert 8 <= len(heard.lines) <= 12


def test_expected_seconds_are_work_times_speed() -> None:
    clock = FakeClock()

    def swap() -> None:
        clock.now += 0.25

    def train() -> None:
        clock.now += 0.5

    assert measure_speed(swap, train, clock) == Speed(swap_s=0.25, training_s=0.5, python_s=0.0)
    assert measure_speed(swap, None, clock).training_s == 0.25
    speed = Speed(swap_s=0.25, training_s=0.5, python_s=0.1)
    work = {"a": Work(swaps=8), "b": Work(swaps=4, python=10), "c": Work(training=6)}
    assert expected(work, speed) == {"a": 2.0, "b": 2.0, "c": 3.0}
    assert measure_speed(lambda: None, None).python_s > 0


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (65.4, "1:05"), (600.0, "10:00")])
def test_minutes_and_seconds(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


def test_fidelity_is_against_the_truth_inside_the_face() -> None:
    random = np.random.default_rng(0)
    targets, sources, truths = random.integers(0, 255, (3, 2, 8, 8, 3)).astype(np.uint8)
    faces = np.zeros((2, 8, 8))
    faces[:, 2:6, 2:6] = 1.0
    pairs = Truths(targets=targets, sources=sources, truths=truths, faces=faces)
    told: list[tuple[int, int]] = []
    answers = iter([truths[0], truths[1]])
    found = fidelity({"perfect": lambda t, s: next(answers), "idle": lambda t, s: t}, pairs,
                     lambda done, total: told.append((done, total)))  # fmt: skip
    assert found["perfect"] == 60.0
    assert found["idle"] == found["unchanged"] < 20.0
    assert told == [(1, 2), (2, 2)]


def test_the_summary_is_of_the_middle() -> None:
    assert summary([5.0, 1.0, 3.0]) == {"median_ms": 3.0, "min_ms": 1.0, "max_ms": 5.0, "n": 3}


def facts() -> dict[str, Any]:
    row = {"median_ms": 1234.5, "min_ms": 1200.0, "max_ms": 1300.0, "n": 7}
    cost = {"unet_evaluations": 50, "unet_macs": 920_000_000, "bytes": 27_000_000}
    return {
        "speedup": 41.7,
        "made_speedup": 39.8,
        "teacher_torch_ms": 1234.5,
        "student_runtime_ms": 29.6,
        "made_student_runtime_ms": 31.0,
        "teacher_steps": 25,
        "rows": [{"name": "teacher <torch>", **row, **cost, "fidelity_db": 23.25}],
        "fidelity_db": {"teacher": 23.25, "student": 24.4, "made-student": 21.0},
        "steps": [{"name": "prune the teacher", "seconds": 40.0}],
        "work": {"samples": 1024, "targets": 128},
        "seconds": 200.0,
        "how_timed": "fairly & squarely",
        "busy": "",
        "how_compared": "with the truth",
        "about_pictures": "renders",
        "environment": {"summary": "a CPU"},
    }


def test_the_table_is_made_for_reading() -> None:
    (row,) = table(facts())
    assert row["median"] == "1234.5"
    assert row["evaluations"] == "50"
    assert row["macs"] == "920"
    assert row["size"] == "27.0"
    assert row["fidelity"] == "23.2"


def test_the_page_holds_everything_and_escapes_it() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    page = write_report(facts(), [{"source": picture, "teacher": picture}], ["a <pair>"])
    assert "42× faster" in page and "40× faster" in page
    assert "1.1 dB nearer to the truth" in page and "2.2 dB further from the truth" in page
    assert "teacher &lt;torch&gt;" in page
    assert "a &lt;pair&gt;" in page
    assert "fairly &amp; squarely" in page
    assert "40.0 s" in page and "in 3:20 minutes" in page
    assert page.count("data:image/webp;base64,") == 2
    assert "http" not in re.sub(r"base64,[^']+", "", page)


def test_every_picture_has_a_text_and_swaps_their_time() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    page = write_report(facts(), [{"source": picture, "teacher": picture}], ["it's"])
    alts = re.findall(r"<img alt='([^']*)'", page)
    assert alts == ["it&#x27;s: source", "it&#x27;s: swapped by the teacher"]
    assert "teacher<span>1234.5 ms</span>" in page
    assert "prefers-color-scheme: dark" in page and "width=device-width" in page


def test_pictures_in_the_page_say_that_they_are_generated(tmp_path: Path) -> None:
    page = write_report(facts(), [{"student": np.zeros((8, 8, 3), np.uint8)}], ["one"])
    (encoded,) = re.findall(r"data:image/webp;base64,([^']+)'", page)
    (tmp_path / "picture.webp").write_bytes(base64.b64decode(encoded))
    mark = read_mark(tmp_path / "picture.webp")
    assert mark is not None and mark.software.startswith("edgeswap ")


def test_the_overview_shows_each_picture_once() -> None:
    red, blue = np.zeros((40, 60, 3), np.uint8), np.zeros((90, 50, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    picture = overview({"a": red, "b": blue})
    assert picture.dtype == np.uint8
    for color in ((255, 0, 0), (0, 0, 255)):
        share = (picture == color).all(-1).mean()
        assert share == 256 * 256 / (picture.shape[0] * picture.shape[1])


def test_a_closeup_is_a_square_around_the_face_inside_the_picture() -> None:
    picture = np.arange(60 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 80, 3)
    assert np.array_equal(closeup(picture, (30.0, 20.0, 40.0, 30.0)), picture[18:33, 28:43])
    assert np.array_equal(closeup(picture, (70.0, 0.0, 80.0, 10.0)), picture[:15, 65:])
    assert closeup(picture, (0.0, 0.0, 80.0, 60.0)).shape == (60, 60, 3)


def test_a_busy_machine_is_said_to_be_one() -> None:
    assert busy_note({"a": [10.0, 11.0, 12.0]}) == ""
    assert "a median is 2.0 times the least" in busy_note({"a": [10.0, 10.0, 11.0], "b": [1, 2, 3]})
