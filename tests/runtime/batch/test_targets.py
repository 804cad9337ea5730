"""What files, folders, patterns and tables name, and what the outputs are called."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from edgeswap_runtime.batch.targets import is_many, list_pictures, read_parquet
from edgeswap_runtime.errors import InvalidRequest, PictureMissing


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of files by name alone: listing opens none of them."""
    for name in ("a.jpg", "b.HEIC", "c.txt", ".hidden.png", "._d.png", "sub/a.jpg", "sub/e.webp"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "in"


def _named(*words: Any, out: Path = Path("out"), suffix: str | None = None) -> dict[str, str]:
    found = list_pictures(words, out=out, suffix=suffix)
    return {str(picture.name): picture.target.name for picture in found}


def test_a_folder_is_searched_through(tree: Path) -> None:
    assert _named(tree) == {
        "a.jpg": "a.jpg",
        "b.png": "b.HEIC",
        "sub/a.jpg": "a.jpg",
        "sub/e.webp": "e.webp",
    }
    assert set(_named(tree, suffix=".jpg")) == {"a.jpg", "b.jpg", "sub/a.jpg", "sub/e.jpg"}


def test_patterns(tree: Path) -> None:
    assert set(_named(f"{tree}/*.jpg")) == {"a.jpg"}
    assert set(_named(f"{tree}/**/*.jpg")) == {"a.jpg", "sub/a.jpg"}
    assert set(_named(f"{tree}/s*/*")) == {"sub/a.jpg", "sub/e.webp"}


def test_each_file_comes_once(tree: Path) -> None:
    assert len(list_pictures([tree / "a.jpg", tree, f"{tree}/*"], out=Path("out"))) == 4


def test_a_file_whose_name_looks_like_a_pattern(tree: Path) -> None:
    odd = tree / "[1].jpg"
    odd.touch()
    assert _named(str(odd)) == {"[1].jpg": "[1].jpg"}
    assert not is_many([str(odd)])


def test_what_lies_in_the_new_folder_is_left_out(tree: Path) -> None:
    assert set(_named(tree, out=tree / "sub")) == {"a.jpg", "b.png"}


def test_two_of_one_output_are_refused(tree: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"would both be written to a\.jpg"):
        list_pictures([tree / "a.jpg", tree / "sub" / "a.jpg"], out=Path("out"))
    (tree / "A.JPG").touch()
    with pytest.raises(InvalidRequest, match="would both be written"):
        list_pictures([tree], out=Path("out"))


def test_nothing_there(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(PictureMissing):
        list_pictures([tree / "no.jpg"], out=Path("out"))
    with pytest.raises(InvalidRequest, match="holds no picture"):
        list_pictures([f"{tree}/*.bmp"], out=Path("out"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="holds no picture"):
        list_pictures([tmp_path / "empty"], out=Path("out"))


def test_many_or_one(tree: Path) -> None:
    assert not is_many([tree / "a.jpg"]) and not is_many(["missing.jpg"])
    assert is_many([tree]) and is_many(["*.jpg"]) and is_many(["a.jpg", "b.jpg"])


def _table(path: Path, **columns: list[Any]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table(columns), path)
    return path


def test_a_table(tmp_path: Path) -> None:
    table = _table(
        tmp_path / "list.parquet",
        target=["in/a.jpg", "/abs/b.tiff", "c.png"],
        source=[None, "s.identity", "t.jpg"],
        out=["x/y.webp", None, None],
        more=[1, 2, 3],
    )
    first, second, third = read_parquet(table)
    assert (first.target, first.source) == (tmp_path / "in/a.jpg", None)
    assert first.name == PurePosixPath("x/y.webp")
    assert (second.target, second.source) == (Path("/abs/b.tiff"), tmp_path / "s.identity")
    assert second.name == PurePosixPath("b.png") and third.name == PurePosixPath("c.png")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"file": ["a"]}, "expected a column target"),
        ({"target": [1]}, "expected text"),
        ({"target": []}, "rows"),
        ({"target": ["a.png", None]}, "row 1 has no target"),
        ({"target": ["a.png"], "out": ["../a.png"]}, "inside the new folder"),
        ({"target": ["a.png"], "out": ["/a.png"]}, "inside the new folder"),
        ({"target": ["a.png"], "out": ["a.bmp"]}, "ends in"),
        ({"target": ["a.png", "x/a.png"]}, "would both be written"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    table = _table(tmp_path / "list.parquet", **columns)
    with pytest.raises(InvalidRequest, match=words):
        read_parquet(table)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "list.parquet"
    with pytest.raises(InvalidRequest, match="there is no such table"):
        read_parquet(path)
    for raw in (b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"x" * 1000):
        path.write_bytes(raw)
        with pytest.raises(InvalidRequest, match="cannot be read as a Parquet table"):
            read_parquet(path)
