"""Solid things in the head's rest frame: triangles with a material, and shapes to build them of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Points = NDArray[np.float32]

PLAIN, STRIPES, CLOTH, WIRE, SKIN, SPOTS = range(6)
"""Kinds of the "solid" program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """How a solid is drawn.

    Attributes:
        program: "solid", "lens", "strand", "shell" or "hair".
        uniforms: of that program.
        textures: uniform name to the file it samples.
        blended: whether it is drawn after everything opaque, without hiding anything.
    """

    program: str
    uniforms: Mapping[str, Any]
    textures: dict[str, Path] = field(default_factory=dict)
    blended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solid:
    """Triangles over M vertices in the head's rest frame.

    Attributes:
        positions: (M, 3) float32, dm.
        index: (T, 3) int32.
        uv: (M, 2) float32.
        anchor: (M, 3) float32, where patterns are anchored.
        material: how it is drawn.
        toward: (M, 3) float32, tangents of ribbons that turn to the camera, and their half width
            in `spread` (M,), dm; None for surfaces.
    """

    positions: Points
    index: NDArray[np.int32]
    uv: Points
    anchor: Points
    material: Material
    toward: Points | None = None
    spread: Points | None = None

    def moved(self, turn: NDArray[np.floating], shift: NDArray[np.floating]) -> Solid:
        """The same thing turned by a (3, 3) matrix and then shifted by (3,) dm."""
        return replace(self, positions=(self.positions @ turn.T + shift).astype(np.float32))


def vertex_normals(positions: Points, index: NDArray[np.int32]) -> Points:
    """Unit normals (M, 3), area-weighted over the triangles at each vertex."""
    a, b, c = (positions[index[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    summed = np.zeros((len(positions), 3))
    for k in range(3):
        for axis in range(3):
            summed[:, axis] += np.bincount(index[:, k], flat[:, axis], len(positions))
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return (summed / (length + 1e-12)).astype(np.float32)


def grid_index(rows: int, columns: int) -> NDArray[np.int32]:
    """Two triangles for each cell of a (rows, columns) grid of vertices."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    first = np.stack([corner, corner + 1, corner + columns], axis=1)
    second = np.stack([corner + 1, corner + columns + 1, corner + columns], axis=1)
    return np.concatenate([first, second]).astype(np.int32)


def sheet(positions: NDArray[np.floating], material: Material) -> Solid:
    """A solid of a (rows, columns, 3) grid of points; uv runs from 0 to 1 along both."""
    rows, columns, _ = positions.shape
    v, u = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    flat = positions.reshape(-1, 3).astype(np.float32)
    return Solid(
        positions=flat,
        index=grid_index(rows, columns),
        uv=np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32),
        anchor=flat,
        material=material,
    )


def lathe(profile: NDArray[np.floating], material: Material, *, around: int = 28) -> Solid:
    """Turn a profile (P, 2) of (radius, height) about the y axis."""
    angle = np.linspace(0, 2 * np.pi, around)
    ring = np.stack([np.sin(angle), np.zeros(around), np.cos(angle)], axis=1)
    positions = profile[:, :1, None] * ring[None]
    positions[:, :, 1] = profile[:, 1:]
    return sheet(positions, material)


def tube(
    path: NDArray[np.floating],
    radius: float | NDArray[np.floating],
    material: Material,
    *,
    around: int = 8,
    flat: float = 1.0,
) -> Solid:
    """A tube along a path (P, 3).

    Args:
        path: its middle line, dm.
        radius: one, or one for each point, dm.
        material: how it is drawn.
        around: vertices of a ring.
        flat: its thickness along z over its thickness across.
    """
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    helper = np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0, 1]], [[0.0, 1, 0]])
    side = np.cross(helper, along)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    up = np.cross(along, side)
    angle = np.linspace(0, 2 * np.pi, around)[None, :, None]
    wide = np.broadcast_to(np.asarray(radius, float), (len(path),))[:, None, None]
    ring = np.cos(angle) * side[:, None] + flat * np.sin(angle) * up[:, None]
    return sheet(path[:, None] + wide * ring, material)


def ellipsoid(radii: tuple[float, float, float], material: Material, *, power: float = 2) -> Solid:
    """An ellipsoid about the origin; a power above 2 makes a rounded box."""
    height, angle = np.linspace(-np.pi / 2, np.pi / 2, 20), np.linspace(0, 2 * np.pi, 32)

    def bent(x: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.sign(x) * np.abs(x) ** (2 / power)

    h, a = height[:, None], angle[None]
    parts = [bent(np.cos(h)) * bent(np.sin(a)), bent(np.sin(h)) * np.ones_like(a),
             bent(np.cos(h)) * bent(np.cos(a))]  # fmt: skip
    return sheet(np.stack(parts, axis=-1) * np.array(radii), material)


def turn_about(axis: NDArray[np.floating] | list[float], angle_deg: float) -> NDArray[np.float64]:
    """Rotation by an angle about an axis: (3, 3), the right-hand rule."""
    unit = np.asarray(axis, np.float64)
    unit = unit / np.linalg.norm(unit)
    x, y, z = unit
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn: NDArray[np.float64] = c * np.eye(3) + s * cross + (1 - c) * np.outer(unit, unit)
    return turn
