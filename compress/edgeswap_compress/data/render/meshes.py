"""Meshes of the head and of what stands before it, posed and uploaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.occluders.solids import Solid, vertex_normals
from edgeswap_compress.data.render.gpu import Mesh

if TYPE_CHECKING:
    import moderngl
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.stage import Stage
    from edgeswap_compress.data.people.surface import Surface

    Points = NDArray[np.float32]


class Meshes:
    """Meshes that stay in graphics memory from picture to picture, made when first used.

    Args:
        context: where they are.
        head: the morphable head.
        open_sky: (N,) share of the surroundings that each vertex of the head sees.
    """

    def __init__(self, context: moderngl.Context, head: Head, open_sky: Points) -> None:
        self._context = context
        self._head = head
        self._open_sky = open_sky
        self._kept: dict[str, Mesh] = {}

    def skin(self, posed: Points, seen: Points) -> Mesh:
        """The skin of a posed head (N, 3), with the share (N,) of the main light it sees."""
        body = self._head.body
        if "body" not in self._kept:
            shares = (self._head.inner, self._head.rim, self._open_sky)
            self._kept["body"] = self._mesh(body, self._head.base, shares)
        index = body.position
        self._kept["body"].move(posed[index], body.normals(posed)[index], seen[index])
        return self._kept["body"]

    def tongue(self, posed: Points) -> Mesh:
        """The tongue of a posed head (N, 3)."""
        tongue = self._head.tongue
        if "tongue" not in self._kept:
            self._kept["tongue"] = self._mesh(tongue, self._head.base)
        index = tongue.position
        self._kept["tongue"].move(posed[index], tongue.normals(posed)[index])
        return self._kept["tongue"]

    def fitted(self, part: str, stage: Stage, head: Points, *, slot: str = "") -> Mesh:
        """A part fitted to an unposed head (N, 3) and posed.

        Args:
            part: a key of `Head.fitted`.
            stage: whose pose.
            head: what it is fitted to.
            slot: keeps the same part of two people apart.
        """
        fitted = self._head.fitted[part]
        key = part + slot
        if key not in self._kept:
            self._kept[key] = self._mesh(fitted.surface, fitted.fit(self._head.base))
        posed = stage.pose.apply(fitted.fit(head))
        index = fitted.surface.position
        self._kept[key].move(posed[index], fitted.surface.normals(posed)[index])
        return self._kept[key]

    def solid(self, stage: Stage, solid: Solid) -> Mesh:
        """A mesh of one scene alone, which its user releases."""
        posed = stage.pose.apply(solid.positions)
        if solid.toward is not None and solid.spread is not None:
            posed, normals = _turned(stage, posed, solid.toward, solid.spread)
        else:
            normals = vertex_normals(posed, solid.index)
        ones = np.ones((len(posed), 3), np.float32)
        mesh = Mesh(
            self._context, solid.index, np.concatenate([solid.anchor, solid.uv, ones], axis=1)
        )
        mesh.move(posed, normals)
        return mesh

    def _mesh(
        self, surface: Surface, rest: Points, shares: tuple[Points, ...] | None = None
    ) -> Mesh:
        index = surface.position
        columns = shares or (np.ones(len(rest), np.float32),) * 3
        fixed = [rest[index], surface.uv, *(share[index, None] for share in columns)]
        return Mesh(self._context, surface.index, np.concatenate(fixed, axis=1))


def _turned(stage: Stage, posed: Points, toward: Points, spread: Points) -> tuple[Points, Points]:
    """Ribbons widened towards the camera, and their normals."""
    tangent = toward @ stage.pose.head_turn.T
    side = np.cross(tangent, stage.camera.position - posed)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    normals = np.cross(side, tangent)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    # Rounded: the edges of a ribbon look sideways.
    rounded = normals + 0.8 * np.sign(spread)[:, None] * side
    rounded /= np.linalg.norm(rounded, axis=1, keepdims=True)
    moved = posed + spread[:, None] * side
    return moved.astype(np.float32), rounded.astype(np.float32)
