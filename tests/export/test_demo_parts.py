"""The demo's own arithmetic: interleaving, medians, the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeswap_export.demo._overview import overview
from edgeswap_export.demo._report import table, write_report
from edgeswap_export.demo._timing import Candidate, interleave, summary


def test_candidates_take_turns_after_one_warm_up_each() -> None:
    calls: list[str] = []
    candidates = {
        "slow": Candidate(call=lambda: calls.append("slow")),
        "fast": Candidate(call=lambda: calls.append("fast"), repeats=2),
    }
    told: list[tuple[int, int]] = []
    times = interleave(candidates, 3, lambda done, total: told.append((done, total)))
    assert calls == ["slow", "fast"] + ["slow", "fast", "fast"] * 3
    assert [len(times["slow"]), len(times["fast"])] == [3, 6]
    assert all(value >= 0 for values in times.values() for value in values)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_summary_is_of_the_middle() -> None:
    assert summary([5.0, 1.0, 3.0]) == {"median_ms": 3.0, "min_ms": 1.0, "max_ms": 5.0, "n": 3}


def facts() -> dict[str, Any]:
    row = {"median_ms": 1234.5, "min_ms": 1200.0, "max_ms": 1300.0, "n": 7}
    cost = {"unet_evaluations": 50, "unet_macs": 920_000_000, "bytes": 27_000_000}
    return {
        "speedup": 41.7,
        "speedup_over_bfloat16": 30.2,
        "teacher_steps": 25,
        "rows": [{"name": "teacher <torch>", **row, **cost}],
        "how_timed": "fairly & squarely",
        "about_pictures": "renders",
        "environment": {"summary": "a CPU"},
    }


def test_the_table_is_made_for_reading() -> None:
    (row,) = table(facts())
    assert row["median"] == "1234.5"
    assert row["evaluations"] == "50"
    assert row["macs"] == "920"
    assert row["size"] == "27.0"


def test_the_page_holds_everything_and_escapes_it() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    page = write_report(facts(), [{"source": picture, "target": picture}], ["a <pair>"])
    assert "42×" in page
    assert "30× against the teacher in bfloat16" in page
    assert "teacher &lt;torch&gt;" in page
    assert "a &lt;pair&gt;" in page
    assert "fairly &amp; squarely" in page
    assert page.count("data:image/webp;base64,") == 2
    assert "http" not in page


def test_the_overview_shows_each_picture_once() -> None:
    red, blue = np.zeros((40, 60, 3), np.uint8), np.zeros((90, 50, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    picture = overview({"a": red, "b": blue})
    assert picture.dtype == np.uint8
    for colour in ((255, 0, 0), (0, 0, 255)):
        share = (picture == colour).all(-1).mean()
        assert share == 256 * 256 / (picture.shape[0] * picture.shape[1])
