"""Self-occlusion of the resting head, seen from many directions, computed once.

Each skin vertex stores from which directions light reaches it. A scene then gets soft shadows
(under the nose, the brows, the chin) as a weighted sum, without a shadow pass; and because the
table belongs to the base mesh, a swap casts the same shadows as its target outside the inner face.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.render3.gl import load_program

if TYPE_CHECKING:
    import moderngl
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.surface import Surface

_DIRECTIONS = 192
_MAP_PX = 384
_HALF_DM = 2.2
_CENTER_DM = (0.0, 6.7, 0.2)
_BIAS_DM = 0.025
_SHARPNESS = 22.0
"""Of the light: larger is harder. 22 is a lamp about 25 degrees wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """What each of N vertices sees.

    Attributes:
        directions: (D, 3) float32 unit vectors in the head's rest frame.
        seen: (N, D) float32, 1 where the direction is free, between 0 and 1 at edges.
        above: (N, D) float32, 1 where the direction lies above the vertex' own horizon.
    """

    directions: NDArray[np.float32]
    seen: NDArray[np.float32]
    above: NDArray[np.float32]

    def towards(self, direction: NDArray[np.floating]) -> NDArray[np.float32]:
        """Share (N,) of a lamp in this direction (rest frame) that reaches each vertex."""
        weight = np.exp(_SHARPNESS * (self.directions @ np.asarray(direction, np.float32) - 1))
        free, horizon = self.seen @ weight, self.above @ weight
        return np.minimum(free / np.maximum(horizon, 0.05 * weight.sum()), 1).astype(np.float32)

    def open_sky(self) -> NDArray[np.float32]:
        """Share (N,) of the surroundings that each vertex sees."""
        return (self.seen.sum(1) / np.maximum(self.above.sum(1), 1)).astype(np.float32)


def load_visibility(
    context: moderngl.Context, surface: Surface, base: NDArray[np.float32], cache_dir: Path
) -> Visibility:
    """The table for a surface at rest, from the cache or rendered now (some seconds)."""
    key = hashlib.sha256(base.tobytes() + surface.corners.tobytes())
    key.update(repr((_DIRECTIONS, _MAP_PX, _HALF_DM, _CENTER_DM, _BIAS_DM, 1)).encode())
    path = cache_dir / f"visibility-{key.hexdigest()[:16]}.npz"
    directions = sphere(_DIRECTIONS)
    if not path.is_file():
        seen = _render_table(context, surface, base, directions)
        temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
        np.savez(temporary, seen=np.round(seen * 255).astype(np.uint8))
        temporary.replace(path)
    with np.load(path) as file:
        seen = file["seen"].astype(np.float32) / 255
    above = (surface.normals(base) @ directions.T > 0.02).astype(np.float32)
    return Visibility(directions=directions, seen=seen * above, above=above)


def sphere(count: int) -> NDArray[np.float32]:
    """Evenly spread unit vectors (count, 3): a Fibonacci lattice."""
    k = np.arange(count) + 0.5
    y, angle = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - y * y)
    return np.stack([ring * np.cos(angle), y, ring * np.sin(angle)], axis=1).astype(np.float32)


def _render_table(
    context: moderngl.Context,
    surface: Surface,
    base: NDArray[np.float32],
    directions: NDArray[np.float32],
) -> NDArray[np.float32]:
    program = load_program(context, "depth")
    target = context.framebuffer(
        [context.texture((_MAP_PX, _MAP_PX), 1, dtype="f4")],
        context.depth_renderbuffer((_MAP_PX, _MAP_PX)),
    )
    vertices = context.buffer(np.ascontiguousarray(base, np.float32).tobytes())
    index = context.buffer(surface.corners.tobytes())
    array = context.vertex_array(program, [(vertices, "3f", "position")], index)
    context.enable_only(context.DEPTH_TEST)
    columns = []
    for direction in directions:
        project = _orthographic(direction)
        program["project"] = tuple(project.T.ravel())  # OpenGL is column-major
        target.use()
        target.clear(1.0, depth=1.0)
        array.render()
        depth = np.frombuffer(target.read(components=1, dtype="f4"), np.float32)
        columns.append(_compare(depth.reshape(_MAP_PX, _MAP_PX), project, base))
    return np.stack(columns, axis=1)


def _orthographic(direction: NDArray[np.float32]) -> NDArray[np.float64]:
    """A (4, 4) parallel projection that looks along -direction at the head."""
    z = np.asarray(direction, np.float64)
    helper = [0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0]
    x = np.cross(helper, z)
    x /= np.linalg.norm(x)
    rows = np.stack([x, np.cross(z, x), -z]) / _HALF_DM
    rows[2] /= 2  # chest and hair behind the center stay within the depth range
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rows, -rows @ np.array(_CENTER_DM)
    return matrix


def _compare(
    depth: NDArray[np.float32], project: NDArray[np.float64], points: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Share of the 3 × 3 depth texels around each point that lie no nearer to the lamp."""
    seen = np.zeros(len(points), np.float32)
    at = points @ project[:3, :3].T + project[:3, 3]
    column, row = (np.round((at[:, k] + 1) / 2 * _MAP_PX - 0.5).astype(int) for k in range(2))
    own = (at[:, 2] + 1) / 2 - _BIAS_DM / (4 * _HALF_DM)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            i, j = (np.clip(c, 0, _MAP_PX - 1) for c in (row + dy, column + dx))
            seen += depth[i, j] >= own
    return seen / np.float32(9)
