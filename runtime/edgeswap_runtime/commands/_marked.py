"""Tell what a picture or a film says of its origin: `edgeswap verify FILE`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.pictures.mark import Mark, read_mark
from edgeswap_runtime.pictures.read import read_picture

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
"""Endings of what edgeswap writes as pictures."""
FILMS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm"})
"""Endings of what edgeswap writes as films."""
MARKED_COMMAND = "edgeswap_runtime.commands._marked:command"


def is_markable(path: Path) -> bool:
    """Return True for a path that ends as a picture or a film does."""
    return path.suffix.lower() in PICTURES | FILMS and not path.is_dir()


def command(argv: list[str]) -> int:
    """Tell the mark of one file.

    Args:
        argv: its path, after --json where that is asked for; `edgeswap verify` has parsed both.

    Raises:
        InvalidRequest: it has none.
        UnreadablePicture: it is no picture.
        UnreadableFilm: it is no film.
    """
    path, as_json = Path(argv[-1]), len(argv) > 1
    mark = _read(path)
    if mark is None:
        raise InvalidRequest(
            f"{path} has no mark of edgeswap: expected one in its metadata; it was made by "
            "something else, or the mark was removed"
        )
    if as_json:
        print(json.dumps({"path": str(path), "marked": True, **dataclasses.asdict(mark)}))
        return 0
    by = "" if mark.bundle_sha256 is None else f", bundle {mark.bundle_sha256}"
    kind = mark.digital_source_type.rpartition("/")[2]
    print(f"{path} is marked as generated ({kind}) by {mark.software}{by}")
    return 0


def _read(path: Path) -> Mark | None:
    if path.suffix.lower() in FILMS:
        from edgeswap_runtime.video.mark import read_film_mark

        return read_film_mark(path)
    read_picture(path)  # whole, or it says what is wrong with it
    return read_mark(path)
