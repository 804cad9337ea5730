"""Search a whole picture for faces: small ones in large pictures, and pictures that lie on a side.

The first look takes the whole picture, shrunk to 640 px. What it misses is searched for only where
something may be missing: in tiles of the picture at up to 2560 px, where all faces are wanted or
none was seen; in the three quarter turns of the whole picture, where there is still none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgeswap_runtime.faces.detect import DETECT_PX, decode_faces, detect_faces, letterbox
from edgeswap_runtime.faces.look import map_face, overlap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edgeswap_runtime.faces.detect import Face, RunDetector

FINE_PX = 2560
"""The long side at which small faces are searched for; smaller pictures are taken as they are."""
TILE_OVERLAP = 0.3
"""How far neighboring tiles overlap: a face up to 192 px of the fine look lies whole in one of
them, and larger ones are at least 48 px wide in the first look."""
_SAME_FACE = 0.3


def search_faces(
    picture: NDArray[np.uint8],
    run: RunDetector,
    *,
    canvas: tuple[int, int] | None = None,
    small: bool = False,
) -> tuple[Face, ...]:
    """Find the faces of a picture, whatever their size and however the picture lies.

    Args:
        picture: (H, W, 3) uint8, RGB.
        run: the detector graph, as for `detect_faces`.
        canvas: (height, width) the graph is fixed to, as there.
        small: search for small faces in any case, not only where the first look sees none.

    Returns:
        the faces, largest box first; their landmarks are those of the first look.
    """
    found = detect_faces(picture, run, canvas=canvas)
    if (small or not found) and max(picture.shape) > DETECT_PX:
        found = _search_tiles(picture, found, run, canvas)
    return found or _search_turned(picture, run, canvas)


def _search_tiles(
    picture: NDArray[np.uint8],
    found: tuple[Face, ...],
    run: RunDetector,
    canvas: tuple[int, int] | None,
) -> tuple[Face, ...]:
    """The faces found already, and the small ones that the tiles add to them; largest first."""
    height, width = picture.shape[:2]
    shrink = min(1.0, FINE_PX / max(height, width))
    fine = picture
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        image = Image.fromarray(picture)
        fine = np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0))
    side = min(DETECT_PX, *(canvas or (DETECT_PX,)))
    added: list[Face] = []
    for left, top in _tiles(fine.shape, side):
        tile = np.ascontiguousarray(fine[top : top + side, left : left + side])
        tensor, scale = letterbox(tile, side, canvas)
        shift = (np.array([left, top]) + 0.5) / shrink - 0.5  # pixel centers are at integers
        to_picture = np.column_stack([np.eye(2) / shrink, shift])
        added.extend(
            map_face(face, to_picture)
            for face in decode_faces(run(tensor), tensor.shape[2:], scale)
            if not _is_cut(face, (left, top), tile.shape, fine.shape)
        )
    kept = list(found)
    for face in sorted(added, key=lambda one: -one.score):
        if all(overlap(face, other) <= _SAME_FACE for other in kept):
            kept.append(face)
    return tuple(sorted(kept, key=lambda one: -one.area_px))


def _tiles(shape: tuple[int, ...], side: int) -> Iterator[tuple[int, int]]:
    """The (left, top) of square tiles that cover a picture, overlapping by `TILE_OVERLAP`."""

    def starts(length: int) -> list[int]:
        count = 1 + max(0, int(np.ceil((length - side) / (side * (1 - TILE_OVERLAP)))))
        return [int(start) for start in np.linspace(0, max(0, length - side), count)]

    return ((left, top) for top in starts(shape[0]) for left in starts(shape[1]))


def _is_cut(
    face: Face, origin: tuple[int, int], tile: tuple[int, ...], whole: tuple[int, ...]
) -> bool:
    """Whether a face reaches over a border of its tile that is not the picture's."""
    left, top, right, bottom = face.box
    x, y = origin
    return (
        (left < 0 < x)
        or (top < 0 < y)
        or (right > tile[1] and x + tile[1] < whole[1])
        or (bottom > tile[0] and y + tile[0] < whole[0])
    )


def _search_turned(
    picture: NDArray[np.uint8], run: RunDetector, canvas: tuple[int, int] | None
) -> tuple[Face, ...]:
    """The faces of the quarter turn whose best score is highest; () where none has a face."""
    best: tuple[Face, ...] = ()
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(picture, quarters))
        back = _quarters_back(quarters, picture.shape)
        seen = tuple(map_face(face, back) for face in detect_faces(turned, run, canvas=canvas))
        if _top_score(seen) > _top_score(best):
            best = seen
    return best


def _quarters_back(quarters: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The (2, 3) matrix from a picture turned by `np.rot90` to the picture itself."""
    right, bottom = shape[1] - 1, shape[0] - 1
    return {
        1: np.array([[0.0, -1.0, right], [1.0, 0.0, 0.0]]),
        2: np.array([[-1.0, 0.0, right], [0.0, -1.0, bottom]]),
        3: np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, bottom]]),
    }[quarters]


def _top_score(faces: tuple[Face, ...]) -> float:
    return max((face.score for face in faces), default=0.0)
