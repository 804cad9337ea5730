"""How far a face stands out: a height map that things are laid on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgeswap_compress.data.people.head import Head

_LOW, _HIGH = np.array([-1.6, 5.0]), np.array([1.6, 8.9])
_CELL_DM = 0.05
_SMOOTH_DM = 0.16
_FLOOR_DM = 0.2


class Relief:
    """Heights (z, dm) of the heads of one scene over x and y, in the rest frame.

    Args:
        head: the morphable head.
        faces: (N, 3) unposed heads, of which the farthest out counts.
    """

    def __init__(self, head: Head, faces: Sequence[NDArray[np.float32]]) -> None:
        shape = np.ceil((_HIGH - _LOW) / _CELL_DM).astype(int) + 1
        top = np.full(shape[0] * shape[1], -1.0, np.float32)
        corners = head.body.corners
        seen = corners[(head.base[corners, 2] > 0).all(1)]
        for k, face in enumerate(faces):
            # Of the first also middles of edges: finer than the cells. The others differ little.
            a, b, c = (face[seen[:, j]] for j in range(3))
            parts = (
                [a, b, c, (a + b) / 2, (b + c) / 2, (c + a) / 2] if k == 0 else [(a + b + c) / 3]
            )
            points = np.concatenate(parts)
            cell = np.round((points[:, :2] - _LOW) / _CELL_DM).astype(int)
            inside = ((cell >= 0) & (cell < shape)).all(1)
            flat, height = cell[inside] @ [1, shape[0]], points[inside, 2]
            order = np.argsort(height, kind="stable")  # of equal cells the last, the highest, stays
            highest = np.full(len(top), -1.0, np.float32)
            highest[flat[order]] = height[order]
            top = np.maximum(top, highest)
        top = top.reshape(shape[1], shape[0])
        closed = ndimage.grey_closing(top, size=(3, 3))
        self._top = np.maximum(closed, _FLOOR_DM)
        self._smooth = ndimage.gaussian_filter(self._top, _SMOOTH_DM / _CELL_DM)

    def top(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Height (M,) of the outermost skin at points (M, 2 or more)."""
        return _sample(self._top, points)

    def smooth(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Height (M,) of the face without its features."""
        return _sample(self._smooth, points)


def _sample(grid: NDArray[np.float32], points: NDArray[np.floating]) -> NDArray[np.float32]:
    at = (np.asarray(points)[:, :2] - _LOW) / _CELL_DM
    found: NDArray[np.float32] = ndimage.map_coordinates(
        grid, [at[:, 1], at[:, 0]], order=1, mode="nearest"
    )
    return found
