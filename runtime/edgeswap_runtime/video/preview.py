"""A contact sheet of a film before and after the swap, to look at before a long run."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest, NoFaceFound
from edgeswap_runtime.pictures.sheet import SheetStyle, draw_sheet
from edgeswap_runtime.video.cast import Cast
from edgeswap_runtime.video.mux import FilmTrim
from edgeswap_runtime.video.pipeline import FilmConfig, read_frames
from edgeswap_runtime.video.planes import to_picture
from edgeswap_runtime.video.tracks import FaceTracker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.swapper import Swapper
    from edgeswap_runtime.video.cast import People
    from edgeswap_runtime.video.film import TargetFilm

MOST = 24
"""Pictures on a sheet at most."""
_LONG_SIDE_PX = 240


def preview_film(
    film: TargetFilm, swapper: Swapper, people: People, config: FilmConfig, count: int
) -> NDArray[np.uint8]:
    """Swap some frames, evenly spaced, and draw them below the film's own.

    Args:
        film: from `probe_film`.
        swapper: does the swaps.
        people: who is put in, or for each place who; people are counted anew in each frame, left
            to right.
        config: which faces, and which part of the film.
        count: how many frames, 1 to 24.

    Returns:
        (H, W, 3) uint8, RGB: a column for each frame.

    Raises:
        NoFaceFound: in none of the frames.
        InvalidRequest: the count is out of range, or the film does not tell its length.
    """
    require_count(count)
    cast = Cast(swapper, None, people)
    before, after, titles, captions = [], [], [], []
    for moment in _moments(film, config.trim, count):
        frame = next(read_frames(film, FilmTrim(start_s=Fraction(moment))), None)
        if frame is None:  # the last frame is shown until the end
            continue
        picture = to_picture(frame, film)
        found = FaceTracker(config.faces).find(picture, swapper.detect, moment)
        chosen = cast.choose(found)
        swapped = cast.swap(picture, chosen)
        before.append(_small(picture))
        after.append(_small(picture if swapped is None else swapped))
        titles.append(f"{moment:.1f} s")
        count_swapped = sum(len(faces) for _, faces in chosen)
        captions.append(f"{count_swapped} of {len(found)} swapped")
    if all(words.startswith("0 of") for words in captions):
        raise NoFaceFound(f"{len(captions)} frames of {film.path}")
    return draw_sheet(
        [before, after],
        titles=titles,
        captions=[["target"] * len(captions), captions],
        style=SheetStyle(tile_px=None, gap_px=4),
    )


def require_count(count: int) -> None:
    """Raise InvalidRequest unless a sheet may show so many frames."""
    if not 1 <= count <= MOST:
        raise InvalidRequest(f"--preview is {count}, expected 1 to {MOST} frames")


def _moments(film: TargetFilm, trim: FilmTrim, count: int) -> list[float]:
    """Seconds in the middle of equal parts."""
    end = film.duration_s if trim.end_s is None else float(trim.end_s)
    if end is None:
        raise InvalidRequest(f"{film.path} does not tell its length: add --end SECONDS")
    if film.duration_s is not None:
        end = min(end, film.duration_s)
    start = float(trim.start_s or 0)
    return [start + (end - start) * (at + 0.5) / count for at in range(count)]


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    scale = _LONG_SIDE_PX / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))
