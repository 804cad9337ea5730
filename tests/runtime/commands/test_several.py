"""`edgeswap swap` with several targets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgeswap_runtime import read_picture
from edgeswap_runtime.cli import main


@pytest.fixture
def line(bundle_folder: Path, photo_file: Any, photo: Any, tmp_path: Path) -> list[str]:
    """A command line that swaps a folder of two pictures."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.bmp"):
        Image.fromarray(photo(len(name))).save(tmp_path / "in" / name)
    return [
        "swap", str(bundle_folder), "--source", str(photo_file("source.png", 1)),
        "--target", str(tmp_path / "in"), "--out", str(tmp_path / "out"),
    ]  # fmt: skip


def _written(tmp_path: Path) -> set[str]:
    out = tmp_path / "out"
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_a_folder_goes_into_a_folder(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 0
    assert _written(tmp_path) == {"a.png", "sub/b.png"}
    assert "2 of 2 pictures swapped" in capsys.readouterr().out
    assert main(line) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert main([*line, "--overwrite"]) == 0


def test_each_equals_its_swap_alone(line: list[str], tmp_path: Path) -> None:
    assert main(line) == 0
    alone = [*line[:4], "--target", str(tmp_path / "in" / "a.png"), "--out"]
    assert main([*alone, str(tmp_path / "alone.png")]) == 0
    one, other = (read_picture(tmp_path / name) for name in ("alone.png", "out/a.png"))
    assert (one == other).all()


def test_one_that_fails_is_named_and_the_rest_is_done(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "in" / "black.png")
    assert main([*line, "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["pictures"], report["swapped"], report["failed"]) == (3, 2, 1)
    (failed,) = [one["failed"] for one in report["reports"] if "failed" in one]
    assert "no face found" in failed and "black.png" in failed
    assert _written(tmp_path) == {"a.png", "sub/b.png"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "out.png"], "expected a folder after --out"),
        (["--target", "no.png"], "there is no such file"),
        (["--target", "no/*.png"], "holds no picture"),
    ],
)
def test_refusals_write_nothing(
    line: list[str],
    more: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*line, *more]) == 2
    told = capsys.readouterr()
    assert words in told.err and told.out == "" and told.err.count("\n") == 1
    assert _written(tmp_path) == set()
