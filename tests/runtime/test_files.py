"""Whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from edgeswap_runtime.errors import BadFolder, InvalidRequest, OutputExists
from edgeswap_runtime.files import (
    canonical_json,
    new_folder,
    read_regular,
    require_folder,
    sha256_file,
    write_bytes,
    write_json,
)

if TYPE_CHECKING:
    from pathlib import Path


def _full_disk(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "out"
    with new_folder(out) as folder:
        assert folder.parent == out.parent
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        assert not out.exists()
    assert _names(out.parent) == ["out"]
    assert (out / "sub" / "file").read_text() == "x"


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a" / "out") as folder:
        (folder / "file").write_text("x")
        raise ZeroDivisionError
    assert _names(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", _full_disk)
    with pytest.raises(OSError, match="No space left"), new_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("x")
    assert _names(tmp_path) == []


@pytest.mark.parametrize("taken", ["file", "folder", "link"])
def test_an_existing_output_is_refused(tmp_path: Path, taken: str) -> None:
    out = tmp_path / "out"
    if taken == "file":
        out.write_text("mine")
    elif taken == "folder":
        out.mkdir()
    else:
        out.symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(OutputExists, match="out already exists: name another path"),
        new_folder(out),
    ):
        pytest.fail("the block must not run")
    assert _names(tmp_path) == ["out"]


def test_an_output_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OutputExists), new_folder(out):
        out.mkdir()
    assert _names(tmp_path) == ["out"]


def test_relative_paths_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path as ThePath

    monkeypatch.chdir(tmp_path)
    with new_folder(ThePath("out")) as folder:
        (folder / "file").write_text("x")
    assert (tmp_path / "out" / "file").read_text() == "x"


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    monkeypatch.setattr(os, "fsync", _full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"newer")
    assert path.read_bytes() == b"new"
    assert _names(tmp_path) == ["file"]


def test_json_is_deterministic(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": [1, 2.5], "a": "é"})
    write_json(tmp_path / "b", {"a": "é", "b": [1, 2.5]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_text(encoding="utf-8").endswith("}\n")
    assert json.loads((tmp_path / "a").read_bytes()) == {"a": "é", "b": [1, 2.5]}
    assert canonical_json({"b": 1, "a": [0.1]}) == b'{"a":[0.1],"b":1}'
    with pytest.raises(ValueError, match="Out of range float"):
        canonical_json(float("nan"))


def test_hash_of_a_file_longer_than_a_chunk(tmp_path: Path) -> None:
    data = os.urandom(3 * (1 << 20) + 17)
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["a" * 240, "a" * 255, "é" * 127, "a" + "é" * 127])
def test_names_as_long_as_names_may_be(tmp_path: Path, name: str) -> None:
    write_bytes(tmp_path / name, b"x")
    write_bytes(tmp_path / name, b"y")
    assert (tmp_path / name).read_bytes() == b"y"
    (tmp_path / name).unlink()
    with new_folder(tmp_path / name) as folder:
        (folder / name).write_bytes(b"x")
    assert _names(tmp_path) == [name]


def test_longer_names_are_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"has 256 bytes, expected at most 255"):
        write_bytes(tmp_path / ("a" * 256), b"x")
    for path in (tmp_path / ("é" * 128), tmp_path / ("a" * 256) / "out"):
        with pytest.raises(InvalidRequest, match="expected at most 255"), new_folder(path):
            pytest.fail("the block must not run")
    assert _names(tmp_path) == []


def _folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text("x")
    return path


def test_a_folder_of_the_right_kind_passes(tmp_path: Path) -> None:
    bundle = _folder(tmp_path / "b", "manifest.json")
    for holds in ("manifest.json", ("swap.json", "manifest.json"), ()):
        assert require_folder(bundle, what="bundle", holds=holds, make="it") == bundle


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("none", "nothing"),
        ("link", "a link that leads nowhere"),
        ("file", "a file"),
        ("pipe", "a pipe, a socket or a device"),
        ("empty", "an empty folder"),
        ("other", "a folder with 1.png, 2.png, 3.png and 2 more"),
    ],
)
def test_a_missing_or_wrong_folder_is_told_one_way(tmp_path: Path, given: str, found: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    _folder(tmp_path / "empty", ".DS_Store")
    _folder(tmp_path / "other", *(f"{number}.png" for number in range(1, 6)))
    with pytest.raises(BadFolder) as caught:
        require_folder(
            tmp_path / given, what="bundle", holds="manifest.json", make="edgeswap export"
        )
    assert str(caught.value) == (
        f"{tmp_path / given} is no bundle: expected a folder with manifest.json, found {found}; "
        "make one with edgeswap export"
    )


def test_a_wrong_folder_s_message_names_every_file_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match=r"a folder with a\.json or b\.json, found nothing"):
        require_folder(tmp_path / "x", what="thing", holds=("a.json", "b.json"), make="it")
    with pytest.raises(BadFolder, match="expected a folder, found nothing"):
        require_folder(tmp_path / "x", what="folder of photos", holds=(), make="mkdir")


def test_no_pipe_or_device_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert read_regular(tmp_path / "file", 2) == b"ab"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="is a pipe, a socket or a device: expected a file"):
            read_regular(tmp_path / name, 2)
