"""`edgeswap verify FILE`: what a picture or a film says of its origin."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from edgeswap_runtime.cli import main
from edgeswap_runtime.commands._marked import FILMS
from edgeswap_runtime.pictures.mark import Mark
from edgeswap_runtime.pictures.write import write_picture
from edgeswap_runtime.video.encode import FORMATS
from edgeswap_runtime.video.mark import with_mark

MARK = Mark(software="edgeswap 9.8.7", bundle_sha256="ab" * 32)


def picture(path: Path) -> Path:
    write_picture(path, np.zeros((8, 8, 3), np.uint8), MARK)
    return path


def film(path: Path, mark: Mark | None) -> Path:
    with av.open(str(path), "w") as container:
        if mark is not None:
            container.metadata.update(with_mark({"comment": "a holiday"}, mark))
        stream = container.add_stream("libx264", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_picture_tells_its_mark(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(picture(tmp_path / name))]) == 0
    line = capsys.readouterr().out
    assert f"{name} is marked as generated (compositeWithTrainedAlgorithmicMedia)" in line
    assert f"by edgeswap 9.8.7, bundle {MARK.bundle_sha256}" in line


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_film_tells_its_mark(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--json", str(film(tmp_path / name, MARK))]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["marked"] is True and told["bundle_sha256"] == MARK.bundle_sha256
    assert told["path"].endswith(name)


def test_what_has_no_mark_or_is_no_picture_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "text.mp4").write_text("text")
    for path, words in (
        (film(tmp_path / "plain.mp4", None), "has no mark of edgeswap: expected one in its"),
        (tmp_path / "text.png", "cannot be read as a picture"),
        (tmp_path / "text.mp4", "cannot be read as a film"),
        (tmp_path / "none.png", "there is no such file"),
    ):
        assert main(["verify", str(path)]) == 2
        line = capsys.readouterr().err
        assert words in line and line.count("\n") == 1


def test_every_film_that_is_written_can_be_verified() -> None:
    assert set(FORMATS) == FILMS
