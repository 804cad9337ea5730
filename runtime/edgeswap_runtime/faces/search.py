"""Search a whole picture for faces: small ones in large pictures, and pictures that lie on a side.

The first look takes the whole picture, shrunk to 640 px. What it misses is searched for only where
something is missed: the bounds below say how far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.faces.detect import detect_faces
from edgeswap_runtime.faces.look import map_face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.faces.detect import Face, RunDetector


def search_faces(
    picture: NDArray[np.uint8],
    run: RunDetector,
    *,
    canvas: tuple[int, int] | None = None,
) -> tuple[Face, ...]:
    """Find the faces of a picture, also where the whole picture lies on a side or upside down.

    Args:
        picture: (H, W, 3) uint8, RGB.
        run: the detector graph, as for `detect_faces`.
        canvas: (height, width) the graph is fixed to, as there.

    Returns:
        the faces, largest box first; their landmarks are those of the first look.
    """
    found = detect_faces(picture, run, canvas=canvas)
    return found or _search_turned(picture, run, canvas)


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
