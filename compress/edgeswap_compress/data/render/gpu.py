"""OpenGL pieces of renderer 4: programs, meshes, floating-point targets, shadow maps, noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import moderngl
import numpy as np

from edgeswap_compress.data.render3.gl import FIXED, MOVING, attribute_layout, compile_program

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SURFACE = ("scene.glsl", "surface.vert")
# What a program is made of: file names in shaders/, vertex stage and fragment stage.
PROGRAMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    name: (
        _SURFACE,
        ("scene.glsl", "surface_in.glsl", "noise.glsl", "relief.glsl", f"{name}.frag"),
    )
    for name in ("skin", "eye", "mouth", "card", "hair", "solid", "lens", "strand", "shell")
} | {
    "background": (("background.vert",), ("noise.glsl", "background.frag")),
    "shadow": (("scene.glsl", "shadow.vert"), ("nothing.frag",)),
    "hair_shadow": (("scene.glsl", "shadow.vert"), ("cutout.frag",)),
    "depth": (("scene.glsl", "depth.vert"), ("nothing.frag",)),
}
# Texture units that no material may use.
GRAIN, CAST, SELF = 13, 14, 15
SHADOW_PX = 320


def load_programs(context: moderngl.Context) -> dict[str, moderngl.Program]:
    """Compile every program and bind its scene block and shared textures."""
    shared = {"grain": GRAIN, "cast_map": CAST, "self_map": SELF}
    programs = {}
    for name, stages in PROGRAMS.items():
        program = compile_program(context, "edgeswap_compress.data.render", stages)
        for texture, unit in shared.items():
            if texture in program:
                program[texture] = unit
        programs[name] = program
    return programs


def grain_texture(context: moderngl.Context) -> moderngl.Texture3D:
    """Tileable noise (64, 64, 64), two texels a cell, the same on every machine."""
    rng = np.random.default_rng(np.random.SeedSequence([*b"grain"]))
    cells = rng.random((32, 32, 32), dtype=np.float32)
    # Two texels a cell with the weights of a quadratic spline: smooth under linear filtering.
    for axis in range(3):
        before, after = np.roll(cells, 1, axis), np.roll(cells, -1, axis)
        pair = np.stack([0.75 * cells + 0.25 * before, 0.75 * cells + 0.25 * after], axis + 1)
        shape = list(cells.shape)
        shape[axis] *= 2
        cells = pair.reshape(shape)
    spread = np.clip(0.5 + (cells - 0.5) * 1.35, 0, 1)
    levels = np.round(spread * 255).astype(np.uint8)
    texture = context.texture3d((64, 64, 64), 1, levels.tobytes(), alignment=1)
    texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
    return texture


class Mesh:
    """Triangles in graphics memory that any program can draw.

    Args:
        index: (T, 3) int32 into the drawn vertices.
        fixed: (U, 8) float32: rest position, uv, inner, rim, open sky of each drawn vertex.
    """

    def __init__(
        self, context: moderngl.Context, index: NDArray[np.int32], fixed: NDArray[np.float32]
    ) -> None:
        self._context = context
        self._moving = context.buffer(reserve=len(fixed) * 28, dynamic=True)
        self._fixed = context.buffer(np.ascontiguousarray(fixed, np.float32).tobytes())
        self._index = context.buffer(np.ascontiguousarray(index, np.int32).tobytes())
        self._rows = np.ones((len(fixed), 7), np.float32)
        self._arrays: dict[int, moderngl.VertexArray] = {}

    def move(
        self,
        positions: NDArray[np.float32],
        normals: NDArray[np.float32],
        key_seen: NDArray[np.float32] | None = None,
    ) -> None:
        """Upload (U, 3) positions and normals and the (U,) share of light; it is 1 if None."""
        self._rows[:, 0:3] = positions
        self._rows[:, 3:6] = normals
        self._rows[:, 6] = 1 if key_seen is None else key_seen
        self._moving.write(self._rows)

    def draw(self, program: moderngl.Program) -> None:
        """Draw what was last uploaded."""
        if program.glo not in self._arrays:
            content = [
                (self._moving, *attribute_layout(program, MOVING)),
                (self._fixed, *attribute_layout(program, FIXED)),
            ]
            used = [entry for entry in content if len(entry) > 2]
            self._arrays[program.glo] = self._context.vertex_array(program, used, self._index)
        self._arrays[program.glo].render()

    def release(self) -> None:
        """Free its memory; it cannot be drawn any more."""
        for array in self._arrays.values():
            array.release()
        for buffer in (self._moving, self._fixed, self._index):
            buffer.release()
        self._arrays.clear()


class Canvas:
    """A floating-point target: linear RGBA, and the inner face's weight beside it."""

    def __init__(self, context: moderngl.Context, side: int) -> None:
        self.side = side
        self._buffer = context.framebuffer(
            [context.texture((side, side), 4, dtype="f4"), context.texture((side, side), 1)],
            context.depth_renderbuffer((side, side)),
        )

    def begin(self) -> None:
        """Make it the target and clear it to transparent black."""
        self._buffer.use()
        self._buffer.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)

    def write_color(self, enabled: bool) -> None:
        """Draw color, or depth alone."""
        channels = (enabled, enabled, enabled, enabled)
        self._buffer.color_mask = (channels, channels)  # type: ignore[assignment]

    def write_depth(self, enabled: bool) -> None:
        """Let what is drawn hide what comes later, or not."""
        self._buffer.depth_mask = enabled

    def read_color(self) -> NDArray[np.float32]:
        """(side, side, 4) float32, top row first."""
        raw: Any = self._buffer.read(components=4, attachment=0, dtype="f4")
        return np.frombuffer(raw, np.float32).reshape(self.side, self.side, 4)[::-1]

    def read_mask(self) -> NDArray[np.float32]:
        """(side, side) float32, 0 .. 1, top row first."""
        raw: Any = self._buffer.read(components=1, attachment=1, alignment=1)
        mask = np.frombuffer(raw, np.uint8).reshape(self.side, self.side)[::-1]
        return mask.astype(np.float32) / np.float32(255)


class ShadowMap:
    """How far the main light reaches, seen from the lamp.

    Args:
        unit: the texture unit that programs read it from.
    """

    def __init__(self, context: moderngl.Context, unit: int) -> None:
        self._unit = unit
        self._depth = context.depth_texture((SHADOW_PX, SHADOW_PX))
        self._depth.compare_func = "<="
        self._depth.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self._depth.repeat_x = self._depth.repeat_y = False
        self._buffer = context.framebuffer(depth_attachment=self._depth)

    def begin(self) -> None:
        """Make it the target, empty: everything is lit."""
        self._buffer.use()
        self._buffer.clear(depth=1.0)

    def bind(self) -> None:
        """Let programs read it."""
        self._depth.use(self._unit)


def lamp_matrix(
    direction: NDArray[np.floating], center: NDArray[np.floating], half_dm: float = 2.4
) -> NDArray[np.float64]:
    """A (4, 4) parallel projection that looks along -direction at a point.

    Args:
        direction: (3,) unit vector towards the lamp.
        center: (3,) dm.
        half_dm: half of the side that the shadow map covers.
    """
    z = np.asarray(direction, np.float64)
    helper = [0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0]
    x = np.cross(helper, z)
    x /= np.linalg.norm(x)
    rows = np.stack([x, np.cross(z, x), -z]) / half_dm
    rows[2] /= 3  # what is far from the center stays within the depth range
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rows, -rows @ np.asarray(center, np.float64)
    return matrix
