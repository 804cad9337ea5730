"""`edgeswap video`: what it writes and says, and one line and nothing else when it cannot."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeswap_runtime.cli import main
from edgeswap_runtime.pictures.mark import read_mark
from edgeswap_runtime.pictures.portraits import packaged_portraits
from edgeswap_runtime.pictures.read import read_picture


@pytest.fixture(scope="module")
def films() -> Any:
    """The conftest.py of the video tests, which writes films."""
    path = Path(__file__).parents[1] / "video" / "conftest.py"
    spec = importlib.util.spec_from_file_location("edgeswap_tests_films", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def arguments(films: Any, tmp_path: Path) -> list[str]:
    """A command line that works."""
    frames = [films.paint([(3, 10 + 4 * at, 8)]) for at in range(6)]
    target = films.write(tmp_path / "a.mp4", frames, films.FilmRecipe())
    return [
        "video", "--source", str(packaged_portraits()[1]), "--target", str(target),
        "--out", str(tmp_path / "b.mp4"), "--threads", "1",
    ]  # fmt: skip


def test_a_film(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == report["swapped_frames"] == 6 and report["encoder"] == "libx264"
    assert main([*arguments, "--overwrite", "--start", "0:00.2", "--quality", "20"]) == 0
    words = capsys.readouterr().out
    assert "4 of 4 frames swapped, 1 face followed" in words and "marked as generated" in words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_people_by_their_places(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    photo, rest = arguments[2], ["video", *arguments[3:]]
    assert main([*rest, "--map", f"{photo}=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["swapped_frames"] == 6
    for words, extra in {
        "person 1 twice": ["--map", f"{photo}=1", "--map", f"{photo}=1"],
        "leave out --faces": ["--map", f"{photo}=1", "--faces", "2"],
        "no face found": ["--map", f"{photo}=2"],
    }.items():
        assert main([*rest, *extra, "--overwrite"]) == 2
        assert words in capsys.readouterr().err


def test_a_preview(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--preview", "3"]) == 0
    assert "without --preview" in capsys.readouterr().out
    assert not (tmp_path / "b.mp4").exists()
    sheet = tmp_path / "b.preview.png"
    mark = read_mark(sheet)
    assert mark is not None and mark.bundle_sha256
    picture = read_picture(sheet)
    assert picture.shape[1] == 3 * 244 + 4
    tiles = picture.shape[0] // 2
    assert np.abs(picture[20:tiles].astype(int) - picture[tiles + 20 : 2 * tiles]).max() > 20


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--encoder", "x265"], "encoder 'x265' was not granted: there is none of that name"),
        (["--encoder", "aac"], "it encodes audio"),
        (["--encoder", "h264_nvenc"], "encoder 'h264_nvenc' was not granted"),
        (["--encoder", "mpeg4", "--quality", "3"], "takes no --quality"),
        (["--encoder", "libvpx"], "cannot hold libvpx"),
        (["--out", "b.avi"], "expected a name ending in .mp4"),
        (["--out", "no/b.mp4"], "there is no folder no"),
        (["--out", "b.webm"], "cannot hold libvpx-vp9 together with the film's sound"),
        (["--start", "9"], "after the end of"),
        (["--start", "0.5", "--end", "0.2"], "--end 0.2 is not after --start 0.5"),
        (["--preview", "0"], "expected 1 to 24"),
        (["--faces", "some"], "expected 'largest', 'all' or a number"),
        (["--target", "none.mp4"], "none.mp4 cannot be read as a film: there is no such file"),
        (["--source", "none.png"], "none.png"),
    ],
)
def test_what_is_refused(
    arguments: list[str],
    extra: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, *extra]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and words in told.err, told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


def test_no_face_and_taken_paths(
    films: Any, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = [np.full((64, 64, 3), 90, np.uint8)] * 3
    target = films.write(tmp_path / "empty.mp4", empty, films.FilmRecipe())
    assert main([*arguments, "--target", str(target)]) == 2
    assert "no face found in" in capsys.readouterr().err
    assert not list(tmp_path.glob("b*"))
    (tmp_path / "b.mp4.parts").mkdir()
    assert main(arguments) == 2
    assert "add --resume to go on" in capsys.readouterr().err
    (tmp_path / "b.mp4").write_bytes(b"mine")
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "b.mp4").read_bytes() == b"mine"
