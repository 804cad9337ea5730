"""`edgeswap batch`, in process: what is refused before a worker starts, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgeswap_runtime.cli import main


@pytest.fixture
def line(bundle_folder: Path, photo_file: Any, photo: Any, tmp_path: Path) -> list[str]:
    """A command line that works."""
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        Image.fromarray(photo(number)).save(tmp_path / "in" / f"{number}.png")
    source = photo_file("source.png", 3)
    return [
        "batch", str(tmp_path / "out"), "--target", str(tmp_path / "in"), "--source", str(source),
        "--bundle", str(bundle_folder), "--processes", "1",
    ]  # fmt: skip


def test_a_batch(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*line, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["pictures"], report["swapped"], report["failed"]) == (2, 2, 0)
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"1.png", "2.png"}
    assert main(line) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*line, "--resume"]) == 0
    assert "2 of 2 pictures swapped, 2 of them earlier" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--processes", "0"], "expected a whole number, 1 to"),
        (["--processes", "100000"], "expected a whole number, 1 to"),
        (["--threads", "0"], "threads is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--faces", "none"], "faces is 'none'"),
        (["--source", "no.png"], "there is no such file"),
        (["--target", "no.png"], "there is no such file"),
        (["--resume"], "holds no batch to resume"),
    ],
)
def test_bad_options(
    line: list[str],
    more: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*line, *more]) == 2
    told = capsys.readouterr()
    assert words in told.err and told.err.count("\n") == 1 and told.out == ""
    assert not (tmp_path / "out").exists()


def test_failures_are_listed_and_the_code_says_so(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in" / "broken.jpg").write_text("no picture")
    assert main(line) == 2
    told = capsys.readouterr().out
    assert "2 of 3 pictures swapped" in told and "failures.jsonl" in told
    (failure,) = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    assert json.loads(failure)["kind"] == "UnreadablePicture"


def test_a_table_of_pairs(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = tmp_path / "list.parquet"
    columns = {"target": ["in/1.png", "in/2.png"], "source": ["source.png", None]}
    parquet.write_table(arrow.table(columns), table)
    without = [*line[:2], "--list", str(table), *line[6:]]
    assert main(without) == 2
    assert "nothing says whose face goes into" in capsys.readouterr().err
    assert main([*without, "--source", str(tmp_path / "source.png")]) == 0
