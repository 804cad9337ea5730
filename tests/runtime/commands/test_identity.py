"""`edgeswap identity`, in process, and what takes its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeswap_runtime import read_picture
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.cli import main
from edgeswap_runtime.pictures.portraits import packaged_portraits


@pytest.fixture
def made(bundle_folder: Path, photo_file: Any, tmp_path: Path) -> Path:
    out = tmp_path / "a.identity"
    photo = str(photo_file("source.png", 1))
    assert main(["identity", photo, str(out), "--bundle", str(bundle_folder)]) == 0
    return out


def _swap(bundle: Path, source: Path, target: Path, out: Path) -> int:
    line = ["swap", str(bundle), "--source", str(source), "--target", str(target)]
    return main([*line, "--out", str(out)])


def test_a_swap_by_the_file_equals_one_by_the_photo(
    made: Path, bundle_folder: Path, photo_file: Any, tmp_path: Path
) -> None:
    target, a, b = photo_file("target.png", 2), tmp_path / "a.png", tmp_path / "b.png"
    assert _swap(bundle_folder, made, target, a) == 0
    assert _swap(bundle_folder, tmp_path / "source.png", target, b) == 0
    assert (read_picture(a) == read_picture(b)).all()


def test_another_bundle_refuses_it(
    made: Path, photo_file: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, out = photo_file("target.png", 2), tmp_path / "out.png"
    capsys.readouterr()
    assert _swap(default_bundle(), made, target, out) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "read with the bundle" in told
    assert not out.exists()


def test_refusals_come_before_any_work(
    bundle_folder: Path, photo_file: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, bundle = str(photo_file("source.png", 1)), ["--bundle", str(bundle_folder)]
    for line, words in (
        ([photo, str(tmp_path / "a.npz")], "ending in .identity"),
        ([str(tmp_path / "no.png"), str(tmp_path / "a.identity")], "there is no such file"),
        ([str(tmp_path / "b.identity"), str(tmp_path / "a.identity")], "is an identity already"),
    ):
        assert main(["identity", *line, *bundle]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "a.identity").exists()


def test_photos_of_different_people_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The packaged bundle's identity graph was measured to tell people apart."""
    pair = packaged_portraits()[:2]
    out = tmp_path / "a.identity"
    assert main(["identity", *map(str, pair), str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (warning,) = report["warnings"]
    assert "do both show the same person?" in warning
    again = tmp_path / "b.identity"
    assert main(["identity", str(pair[0]), str(pair[0]), str(again), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []


def test_with_a_bundle_that_recognizes_nobody_it_says_so(
    bundle_folder: Path, photo_file: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [str(photo_file("a.png", 1)), str(photo_file("b.png", 2))]
    line = ["identity", *photos, str(tmp_path / "a.identity"), "--bundle", str(bundle_folder)]
    assert main(line) == 0
    assert "cannot be told with this bundle" in capsys.readouterr().out
