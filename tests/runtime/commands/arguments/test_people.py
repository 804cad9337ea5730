"""`edgeswap swap` where there are several people: who is swapped, and what is said of the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import read_picture
from edgeswap_runtime.cli import main
from edgeswap_runtime.pictures.portraits import packaged_portraits

if TYPE_CHECKING:
    from pathlib import Path


def _crowd(tmp_path: Path) -> tuple[Path, list[Path]]:
    """Three packaged people side by side, the middle one cut through; and their photos."""
    photos = packaged_portraits()[:3]
    pixels = [np.asarray(read_picture(path))[::2, ::2] for path in photos]
    path = tmp_path / "crowd.png"
    Image.fromarray(np.concatenate([pixels[0], pixels[2], pixels[1][:, :128]], axis=1)).save(path)
    return path, photos


def _swap_crowd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *extra: str
) -> tuple[int, dict[str, Any], str]:
    """Run on the packaged bundle; return the exit code, the report, and what stderr says."""
    line = ["swap", "--target", str(tmp_path / "crowd.png"), "--out", str(tmp_path / "o.png")]
    code = main([*line, "--threads", "1", "--json", "--overwrite", *extra])
    shown = capsys.readouterr()
    return code, json.loads(shown.out) if shown.out else {}, shown.err


def test_what_cannot_be_swapped_is_left_alone_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowd, photos = _crowd(tmp_path)
    source = ["--source", str(photos[0])]
    code, report, _ = _swap_crowd(tmp_path, capsys, *source, "--faces", "all")
    assert code == 0 and report["faces_found"] == 3
    assert [face["done"] for face in report["faces"]] == ["swapped", "swapped", "left alone"]
    assert report["faces"][2]["why"].startswith("cut off, ")
    before, after = read_picture(crowd), read_picture(tmp_path / "o.png")
    np.testing.assert_array_equal(after[:, 512:], before[:, 512:])
    (tmp_path / "o.png").unlink()
    code, report, told = _swap_crowd(tmp_path, capsys, *source, "--faces", "#3")
    assert code == 2 and "nothing swapped in" in told and "#3 cut off, " in told
    assert not (tmp_path / "o.png").exists()
    code, report, _ = _swap_crowd(tmp_path, capsys, *source, "--faces", "#3", "--force")
    assert code == 0 and report["faces"][2]["done"] == "swapped"
    assert report["faces"][0] | {"box_px": 0, "score": 0} == {
        "number": 1, "box_px": 0, "score": 0, "yaw_deg": None, "done": "left alone",
        "why": "not chosen",
    }  # fmt: skip


def test_several_sources_for_several_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowd, photos = _crowd(tmp_path)
    both = ["--map", f"{photos[1]}=2", "--map", f"{photos[2]}=1"]
    code, report, _ = _swap_crowd(tmp_path, capsys, *both)
    assert code == 0 and len(report["faces_swapped"]) == 2
    together = read_picture(tmp_path / "o.png")
    for photo, place, part in (
        (photos[2], "#1", slice(0, 256)),
        (photos[1], "#2", slice(256, 512)),
    ):
        _swap_crowd(tmp_path, capsys, "--source", str(photo), "--faces", place)
        alone = read_picture(tmp_path / "o.png")
        np.testing.assert_array_equal(together[:, part], alone[:, part])
        assert (alone[:, part] != read_picture(crowd)[:, part]).any()


def test_the_person_of_a_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, photos = _crowd(tmp_path)
    like = ["--source", str(photos[0]), "--like", str(photos[2])]
    code, report, _ = _swap_crowd(tmp_path, capsys, *like)
    assert code == 0
    assert [face["done"] for face in report["faces"]] == ["left alone", "swapped", "left alone"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--map", "a.png=1", "--map", "b.png=1"], "--map names face 1 twice"),
        (["--map", "a.png=1", "--faces", "all"], "--map chooses the faces: leave out --faces"),
        (["--map", "a.png=0"], "found a.png=0, expected PHOTO=K with K from 1"),
        (["--source", "a.png", "--faces", "#0"], "faces is '#0', expected 'largest', 'all' or a"),
        (["--source", "a.png", "--map", "a.png=1"], "not allowed with argument"),
    ],
)
def test_bad_choices_of_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    _crowd(tmp_path)
    code, _, told = _swap_crowd(tmp_path, capsys, *extra)
    assert code == 2 and message in told
    assert not (tmp_path / "o.png").exists()
