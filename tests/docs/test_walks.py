"""The three walks: every file named is there, at most 20 each, and really entered."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from pages import ROOT

from edgeswap_runtime.cli import main

PAGE = (ROOT / "docs" / "explanation" / "walks.md").read_text(encoding="utf-8")
WALKS = {
    name: re.findall(r"^\d+\. `([\w/.]+\.py)`", text, re.M)
    for name, text in re.findall(r"^## A \w+ through `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
}


def test_there_are_three_of_at_most_twenty_files() -> None:
    assert set(WALKS) == {"swap", "prune", "distill"}
    for name, files in WALKS.items():
        assert 10 <= len(files) <= 20, name
        assert len(set(files)) == len(files)
        assert [file for file in files if not (ROOT / file).is_file()] == []


def entered(line: str) -> set[str]:
    """The files of the repository whose functions a command calls, in all of its threads."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            found.add(frame.f_code.co_filename)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        assert main(line.split()) == 0
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    inside = [Path(name) for name in found if name.startswith(str(ROOT))]
    return {path.relative_to(ROOT).as_posix() for path in inside}


def test_swap(place: Callable[..., Path], tiny_bundle: Path) -> None:
    place("a.jpg", "b.jpg", bundle=tiny_bundle)
    files = entered("swap bundle --source a.jpg --target b.jpg --out c.png")
    assert [file for file in WALKS["swap"] if file not in files] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the libraries that are traced
def test_prune_and_distill(place: Callable[..., Path]) -> None:
    place("checkpoint", "teacher")
    files = entered("prune checkpoint pruned --macs-ratio 0.7 --latency-runs 1")
    assert [file for file in WALKS["prune"] if file not in files] == []
    work = "--steps 1 --samples 16 --batch-size 8 --targets 8"
    files = entered(f"distill teacher pruned student {work}")
    assert [file for file in WALKS["distill"] if file not in files] == []
