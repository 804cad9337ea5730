"""Read all marks of a picture or film for `edgeswap verify`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.errors import EdgeswapError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_runtime.pictures.mark import Mark

_FILM_FRAMES = 8
_MOST_FACES = 20


def verify_file(path: Path, *, as_json: bool) -> int:
    """Print the marks of a picture or film.

    Returns:
        the exit code: 0; 2 where content credentials do not fit the file, which was changed after
        it was signed.

    Raises:
        UnreadablePicture: it is neither a picture nor a film that can be read.
    """
    mark, frames = _open(path)
    report: dict[str, Any] = {
        "path": str(path),
        "metadata": None if mark is None else dataclasses.asdict(mark),
        "credentials": _credentials(path),
        "watermark": _watermark(frames),
    }
    changed = (report["credentials"] or {}).get("state") == "invalid"
    print(json.dumps(report, indent=1) if as_json else "\n".join(_lines(report)))
    return 2 if changed else 0


def _open(path: Path) -> tuple[Mark | None, Iterator[NDArray[np.uint8]]]:
    """The mark in the metadata, and the pictures in which a watermark may be."""
    from edgeswap_runtime.errors import UnreadablePicture
    from edgeswap_runtime.pictures.mark import read_mark
    from edgeswap_runtime.pictures.read import read_picture

    try:
        picture = read_picture(path)
    except UnreadablePicture as error:
        found = _open_film(path)
        if found is None:
            raise error from None
        return found
    return read_mark(path), iter([picture])


def _open_film(path: Path) -> tuple[Mark | None, Iterator[NDArray[np.uint8]]] | None:
    """The same of a film; None where it is none, or PyAV is not installed."""
    try:
        from edgeswap_runtime.video.film import probe_film
        from edgeswap_runtime.video.mark import read_film_mark
        from edgeswap_runtime.video.mux import FilmTrim
        from edgeswap_runtime.video.pipeline import read_frames
        from edgeswap_runtime.video.planes import to_picture

        film = probe_film(path)
    except (ModuleNotFoundError, EdgeswapError):
        return None
    expected = max(1, round((film.duration_s or 0) * film.rate))
    step = max(1, expected // _FILM_FRAMES)

    def frames() -> Iterator[NDArray[np.uint8]]:
        for number, frame in enumerate(read_frames(film, FilmTrim(start_s=None, end_s=None))):
            if number % step == 0:
                yield to_picture(frame, film)

    return read_film_mark(path), frames()


def _credentials(path: Path) -> dict[str, Any] | None:
    from edgeswap_runtime.pictures.credentials import has_credentials_library
    from edgeswap_runtime.pictures.found_credentials import read_credentials

    if not has_credentials_library():
        return {"state": "not looked for", "why": "python -m pip install 'edgeswap[provenance]'"}
    found = read_credentials(path)
    return None if found is None else dataclasses.asdict(found)


def _watermark(frames: Iterator[NDArray[np.uint8]]) -> dict[str, Any]:
    """Look for the watermark in all faces, with the packaged bundle's detector."""
    from edgeswap_runtime.faces.watermark import THRESHOLD, find_watermark
    from edgeswap_runtime.swapper import Swapper

    likeness: list[float] = []
    try:
        with Swapper.open() as swapper:
            for picture in frames:
                faces = swapper.detect(picture)[:_MOST_FACES]
                likeness += [find_watermark(picture, face) for face in faces]
    except EdgeswapError as error:
        return {"state": "not looked for", "why": str(error)}
    marked = sum(value >= THRESHOLD for value in likeness)
    return {
        "state": "found" if marked else "not found",
        "faces": len(likeness),
        "marked_faces": marked,
        "largest": max(likeness, default=0.0),
        "threshold": THRESHOLD,
    }


def _lines(report: dict[str, Any]) -> Iterator[str]:
    metadata, credentials = report["metadata"], report["credentials"]
    if metadata is None:
        yield "metadata: no mark"
    else:
        term = metadata["digital_source_type"].rpartition("/")[2]
        bundle = metadata["bundle_sha256"]
        by = f", bundle {bundle[:12]}" if bundle else ""
        yield f"metadata: {term}, by {metadata['software']}{by}"
    yield f"content credentials: {_credentials_words(credentials)}"
    found = report["watermark"]
    if found["state"] == "not looked for":
        yield f"watermark: not looked for ({found['why']})"
    else:
        yield (
            f"watermark: {found['state']}, in {found['marked_faces']} of {found['faces']} faces "
            f"(largest {found['largest']:.0f}, from {found['threshold']:.0f} on it is one)"
        )


def _credentials_words(found: dict[str, Any] | None) -> str:
    if found is None:
        return "none"
    if found["state"] == "not looked for":
        return f"not looked for ({found['why']})"
    if found["state"] == "invalid":
        why = ", ".join(found["problems"]) or "no reason given"
        return f"INVALID, the file was changed after it was signed ({why})"
    vouched = "" if found["state"] == "trusted" else ", whom nobody vouches for"
    consent = f"; consent: {found['consent']}" if found["consent"] else ""
    return (
        f"{found['state']}, signed by {found['signer']}{vouched}, by {found['software']}{consent}"
    )
