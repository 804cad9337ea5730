"""Frames to pictures and back: what is not swapped keeps its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgeswap_runtime.errors import UnreadableFilm, UnsupportedFilm
from edgeswap_runtime.video.film import probe_film
from edgeswap_runtime.video.mux import FilmTrim
from edgeswap_runtime.video.pipeline import read_frames
from edgeswap_runtime.video.planes import _samples as samples
from edgeswap_runtime.video.planes import to_picture, with_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BLOBS = [
    np.asarray(np.add.outer(np.arange(112), np.arange(160))[..., None] // 2 + [0, 30, 60], np.uint8)
]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_only_changed_samples_change(
    make_film: Callable[..., Path], pixel_format: str, rotation: int
) -> None:
    path = make_film("a.mp4", BLOBS, pixel_format=pixel_format, rotation=rotation, audio=False)
    film = probe_film(path)
    assert film.rotation == rotation and film.pixel_format == pixel_format
    frame = next(read_frames(film, FilmTrim()))
    picture = to_picture(frame, film)
    assert picture.shape == (112, 160, 3)
    assert np.abs(picture.astype(int) - BLOBS[0]).mean() < 4  # upright, right colors
    assert with_picture(frame, picture, picture.copy(), film) is frame
    after = picture.copy()
    after[20:41, 31:60] = (200, 80, 60)
    made = with_picture(frame, picture, after, film)
    assert made.format.name == pixel_format and made.pts == frame.pts
    back = to_picture(made, film)
    # Chroma is shared by neighbors, and looked up between them.
    assert np.abs(back[23:38, 34:57].astype(int) - after[23:38, 34:57]).max() <= 4
    away = np.ones(picture.shape[:2], bool)
    away[16:45, 27:64] = False
    assert (back == picture)[away].all()
    for new, old in zip(made.planes, frame.planes, strict=True):
        kept = samples(new, made) == samples(old, frame)
        assert 0.9 < kept.mean() < 1


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 9])
def test_range_and_matrix_are_obeyed_and_kept(
    make_film: Callable[..., Path], full: bool, matrix: int
) -> None:
    tags = (("color_range", 2 if full else 1), ("colorspace", matrix))
    film = probe_film(make_film("a.mp4", BLOBS, tags=tags, audio=False))
    assert film.colors.range == (2 if full else 1) and film.colors.matrix == matrix
    frame = next(read_frames(film, FilmTrim()))
    picture = to_picture(frame, film)
    after = picture.copy()
    after[20:60, 20:60] = (30, 200, 90)
    made = with_picture(frame, picture, after, film)
    back = to_picture(made, film)
    assert np.abs(back[24:56, 24:56].astype(int) - after[24:56, 24:56]).max() <= 4
    assert (made.color_range, made.colorspace) == (frame.color_range, frame.colorspace)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"tags": (("color_trc", 16),)}, "HDR, PQ"),
        ({"tags": (("color_trc", 18),)}, "HDR, HLG"),
        ({"rotation": 45}, "45 degrees"),
        ({"codec": "libx264rgb", "pixel_format": "rgb24"}, "pixels are gbrp"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(
    make_film: Callable[..., Path], recipe: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnsupportedFilm, match=words):
        probe_film(
            make_film("a.mkv" if "codec" in recipe else "a.mp4", BLOBS, audio=False, **recipe)
        )


def test_what_is_no_film_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    for name, words in (
        ("none.mp4", "no such file"),
        ("text.mp4", "invalid data"),
        (".", "no file"),
    ):
        with pytest.raises(UnreadableFilm, match=words):
            probe_film(tmp_path / name)
