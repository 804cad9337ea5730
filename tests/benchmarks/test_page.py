"""The page: whole, alone, readable in light and dark, and true to the report."""

from __future__ import annotations

import dataclasses
import html.parser
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_bench import BenchConfig, BundleSubject, Report, bench
from edgeswap_bench.measure.results import Memory, Start, SubjectResult, Throughput
from edgeswap_bench.report import charts
from edgeswap_bench.report.page import page
from edgeswap_runtime.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

EXPLANATION = {
    "subject": "tiny", "graph": "denoise", "measured_ms": 2.0, "kernels_ms": 1.5, "macs": 10**8,
    "bytes": 10**7, "intensity": 10.0, "ideal_ms": 1.0, "share": 0.5,
    "ceilings": {"macs_per_s": 1e11, "memory_bytes_per_s": 2e10, "cached_bytes_per_s": 1e11},
    "kinds": {"multiply": 1.5},
    "blocks": [{"name": "up_blocks.0", "milliseconds": 1.5, "macs": 1, "bytes": 1}],
    "layers": [], "limit": "a <limit>", "advice": ["try & see"],
}  # fmt: skip
ESTIMATE = {"name": "A device", "swap_ms": 1.25, "precision": "fp16", "multiply_share": 0.5,
            "sources": ["a data sheet"]}  # fmt: skip


class Checker(html.parser.HTMLParser):
    """Finds tags that are not closed, and everything that names an address."""

    void = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        given = dict(attrs)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "data") and v]
        if tag == "img":
            self.images.append(given)
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """SVG's way of closing at once."""

    def handle_endtag(self, tag: str) -> None:
        """It must be the last opened."""
        assert self.open.pop() == tag


@pytest.fixture
def full(subject: Callable[..., BundleSubject]) -> Report:
    """A report with something in every part."""
    other = subject(label="<other>")
    report = bench([subject(), other], BenchConfig(runs=8, warmup=0, tasks=("picture", "crop")))
    memory = Memory(steps={"python": 10**7, "open denoise": 2 * 10**7}, sum_bytes=3 * 10**7,
                    swapper_bytes=3 * 10**7, peak_bytes=4 * 10**7)  # fmt: skip
    start = Start(cache="empty", interpreter_ms=1.0, imported_ms=2.0, opened_ms=3.0, first_ms=4.0,
                  second_swap_ms=0.5, steady_ms=0.4)  # fmt: skip
    batch = Throughput(batch=2, error=None, crops=20, seconds=2.0, crops_per_s=10.0)
    first = dataclasses.replace(
        report.subjects[0], memory=memory, starts=(start,), throughput=(batch,)
    )
    failed = SubjectResult(label="a peer", kind="peer", error="it needs a GPU")
    moment = report.conditions.moments[-1]
    moments = tuple(dataclasses.replace(moment, at_s=s, rss_bytes=10**8) for s in (0.0, 1.0, 2.0))
    return dataclasses.replace(
        report,
        subjects=(first, *report.subjects[1:], failed),
        conditions=dataclasses.replace(report.conditions, moments=moments),
        explanations=(EXPLANATION,),
        estimates=(ESTIMATE,),
    )


def test_every_part_is_there_and_nothing_leaves_the_page(
    full: Report, photo: NDArray[np.uint8]
) -> None:
    made = page(full, {"tiny": (photo, photo)})
    checker = Checker()
    checker.feed(made)
    assert checker.open == []
    assert checker.addresses and all(a.startswith("data:") for a in checker.addresses)
    assert "url(" not in made and "@import" not in made and "default-src 'none'" in made
    assert [image["alt"] for image in checker.images] == ["target", "swapped by tiny"]
    for part in ("Figures", "Compared with tiny", "Latency: picture 64 x 64", "Stages: tiny",
                 "Memory over time", "Memory: tiny", "Roofline", "Graph: denoise",
                 "Quality against latency", "Picture: tiny", "Estimates, not measurements",
                 "Machine, software and settings"):  # fmt: skip
        assert f">{part}" in made, part
    assert "failed: it needs a GPU" in made and "10.0 crops/s" in made
    assert "first swap after 4 ms" in made and "the steps add up to 100 %" in made


def test_words_of_others_are_escaped(full: Report) -> None:
    made = page(full)
    assert "<other>" not in made and "&lt;other&gt;" in made
    assert "a &lt;limit&gt;" in made and "try &amp; see" in made


def test_a_report_with_little_in_it(subject: Callable[..., BundleSubject]) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    report = bench([subject(target=black)], BenchConfig(runs=1, warmup=0, tasks=("picture",)))
    made = page(dataclasses.replace(report, subjects=report.subjects))
    assert "failed: no face found" in made and "Roofline" not in made


def _luminance(color: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, two: str) -> float:
    bright, dim = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_contrast_in_light_dark_and_print() -> None:
    """Words at least 4.5 : 1, marks at least 3 : 1. Source: WCAG 2.2, 1.4.3 and 1.4.11."""
    style = files("edgeswap_bench.report").joinpath("style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    assert len(blocks) == 3
    for block in blocks:
        colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for ground in ("paper", "panel"):
            for name in ("ink", "soft", "good", "bad", "warn"):
                assert _contrast(colors[name], colors[ground]) >= 4.5, (name, ground)
            for name in ("line", *(f"c{at}" for at in range(7))):
                assert _contrast(colors[name], colors[ground]) >= 3, (name, ground)


def test_the_front_is_what_nothing_beats() -> None:
    points = [("slow and good", 9.0, 30.0), ("fast and bad", 1.0, 20.0), ("beaten", 10.0, 25.0),
              ("middle", 5.0, 25.0), ("same and worse", 5.0, 24.0)]  # fmt: skip
    assert charts.pareto(points) == [(1.0, 20.0), (5.0, 25.0), (9.0, 30.0)]


def test_bars_of_a_histogram_are_all_runs() -> None:
    drawn = charts.distributions([("a", [1.0] * 10 + [2.0] * 5, (1.0, 1.2))])
    heights = [float(h) for h in re.findall(r'class="c0".*?height="([\d.]+)"', drawn)]
    assert heights == [30.0, 15.0]


def test_stages_follow_one_another() -> None:
    drawn = charts.waterfall([("one", 1.0), ("two", 3.0)])
    found = re.findall(r'class="c\d" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn)
    (x1, w1), (x2, w2) = [(float(x), float(w)) for x, w in found]
    assert x1 + w1 == pytest.approx(x2) and w2 == pytest.approx(3 * w1)


def test_one_point_and_equal_points_can_be_drawn() -> None:
    for points in ([("a", 1.0, 1.0)], [("a", 2.0, 3.0), ("b", 2.0, 3.0)]):
        assert "nan" not in charts.scatter(points, "x", "y")


@pytest.fixture
def arguments(bundle_folder: Path, photo_file: Any) -> list[str]:
    """A command line that is quick."""
    photo = str(photo_file("a.png"))
    return ["bench", str(bundle_folder), "--source", photo, "--target", photo, "--runs", "2",
            "--warmup", "0", "--threads", "1", "--starts", "0"]  # fmt: skip


def test_the_command_writes_the_page(arguments: list[str], tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main([*arguments, "--html", str(out)]) == 0
    assert "Picture: tiny" in out.read_text(encoding="utf-8")
    assert main([*arguments, "--html", str(out), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("there.html", "there.html already exists: name another file, or add --overwrite"),
        ("", "is a folder; name a file"),
        ("no/x.html", "cannot be written: no folder"),
    ],
)
def test_a_bad_place_is_told_before_anything_runs(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str,
    message: str,
) -> None:  # fmt: skip
    (tmp_path / "there.html").write_text("mine")
    arguments[1] = "no-such-bundle"
    assert main([*arguments, "--html", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "there.html").read_text() == "mine"
