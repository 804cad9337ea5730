"""Triangle surfaces ready for drawing, and meshes fitted to the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Triangles over N positions; a drawn vertex is a (position, texture coordinate) pair.

    Attributes:
        position: (U,) int32, each drawn vertex's position.
        uv: (U, 2) float32, 0..1, v up.
        index: (T, 3) int32 drawn vertices.
        corners: (T, 3) int32 positions.
        incidence: (N, T) sparse, 1 where a triangle touches a position.
    """

    position: NDArray[np.int32]
    uv: NDArray[np.float32]
    index: NDArray[np.int32]
    corners: NDArray[np.int32]
    incidence: scipy.sparse.csr_matrix

    def normals(self, positions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit normals of each position, area-weighted over its triangles.

        Args:
            positions: (N, 3) float32.

        Returns:
            (N, 3) float32; 0 where no triangle touches.
        """
        a, b, c = (positions[self.corners[:, k]] for k in range(3))
        u, v = b - a, c - a
        # Written out: np.cross is three times slower on (T, 3).
        flat = np.empty_like(u)
        flat[:, 0] = u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1]
        flat[:, 1] = u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2]
        flat[:, 2] = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        summed = self.incidence @ flat
        length = np.sqrt(np.einsum("ij,ij->i", summed, summed))
        return summed / (length[:, None] + np.float32(1e-9))


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedMesh:
    """A surface that follows the head: its positions are binding @ head + offsets.

    Attributes:
        surface: over M positions.
        binding: (M, N) sparse float32.
        offsets: (M, 3) float32, dm.
    """

    surface: Surface
    binding: scipy.sparse.csr_matrix
    offsets: NDArray[np.float32]

    def fit(self, head: NDArray[np.float32]) -> NDArray[np.float32]:
        """Positions (M, 3) of the mesh on a head (N, 3), dm."""
        fitted: NDArray[np.float32] = self.binding @ head + self.offsets
        return fitted


def surface_arrays(
    corners: NDArray[np.int64], uvs: NDArray[np.float32]
) -> dict[str, NDArray[np.generic]]:
    """Index triangles of (position, texture coordinate) pairs for drawing.

    Args:
        corners: (T, 3, 2) int64.
        uvs: (V, 2) float32.

    Returns:
        the arrays that `make_surface` takes.
    """
    pairs, index = np.unique(corners.reshape(-1, 2), axis=0, return_inverse=True)
    return {
        "position": pairs[:, 0].astype(np.int32),
        "uv": uvs[pairs[:, 1]].astype(np.float32),
        "index": index.reshape(-1, 3).astype(np.int32),
        "corners": corners[:, :, 0].astype(np.int32),
    }


def make_surface(arrays: Mapping[str, NDArray[np.generic]], positions: int) -> Surface:
    """A surface over a number of positions, from what `surface_arrays` gave."""
    corners = np.asarray(arrays["corners"], np.int32)
    triangles = len(corners)
    ones = np.ones(3 * triangles, np.float32)
    where = (corners.reshape(-1), np.repeat(np.arange(triangles), 3))
    return Surface(
        position=np.asarray(arrays["position"], np.int32),
        uv=np.asarray(arrays["uv"], np.float32),
        index=np.asarray(arrays["index"], np.int32),
        corners=corners,
        incidence=scipy.sparse.csr_matrix((ones, where), shape=(positions, triangles)),
    )


def make_fitted(arrays: Mapping[str, NDArray[np.generic]], head_positions: int) -> FittedMesh:
    """A fitted mesh from a surface's arrays plus "refs", "weights" (M, 3) and "offsets" (M, 3)."""
    refs = np.asarray(arrays["refs"])
    weights = np.asarray(arrays["weights"], np.float32)
    count = len(refs)
    where = (np.repeat(np.arange(count), refs.shape[1]), refs.reshape(-1))
    return FittedMesh(
        surface=make_surface(arrays, count),
        binding=scipy.sparse.csr_matrix(
            (weights.reshape(-1), where), shape=(count, head_positions)
        ),
        offsets=np.asarray(arrays["offsets"], np.float32),
    )
