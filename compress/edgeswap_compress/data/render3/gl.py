"""Off-screen OpenGL: context, programs, vertex arrays, render targets, textures."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import moderngl
import numpy as np
from PIL import Image

from edgeswap_compress.errors import NoOffscreenRendering

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.surface import Surface

_HEADER = "#version 330\n"
# What a program is made of: file names in shaders/, vertex stage and fragment stage.
PROGRAMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    name: (
        ("scene.glsl", "surface.vert"),
        ("scene.glsl", "surface_in.glsl", "noise.glsl", f"{name}.frag"),
    )
    for name in ("skin", "eye", "mouth", "hair", "card")
} | {
    "background": (("background.vert",), ("noise.glsl", "background.frag")),
    "depth": (("depth.vert",), ("depth.frag",)),
}

# One vertex: what changes with every picture, and what never does.
MOVING = (("position", 3), ("normal", 3), ("key_seen", 1))
FIXED = (("rest", 3), ("uv", 2), ("inner", 1), ("rim_inner", 1), ("open_sky", 1))


def open_context() -> moderngl.Context:
    """A standalone context through EGL.

    Raises:
        NoOffscreenRendering: with the names of the system packages.
    """
    try:
        # The stub of moderngl 5.13 takes the backend's name for a dict.
        settings: dict[str, Any] = {"backend": "egl"}
        return moderngl.create_context(standalone=True, require=330, **settings)
    # glcontext raises bare Exception for everything from a missing library to an old driver.
    except Exception as error:
        why = str(error).strip().splitlines()
        raise NoOffscreenRendering(why[0] if why else type(error).__name__) from error


def load_program(context: moderngl.Context, name: str) -> moderngl.Program:
    """Compile one of `PROGRAMS` and bind its scene block to slot 0."""
    return compile_program(context, "edgeswap_compress.data.render3", PROGRAMS[name])


def compile_program(
    context: moderngl.Context, package: str, stages: tuple[tuple[str, ...], tuple[str, ...]]
) -> moderngl.Program:
    """Compile a vertex and a fragment stage of a package's shaders; bind its scene block to 0."""
    folder = files(package) / "shaders"
    vertex, fragment = (
        _HEADER + "\n".join((folder / part).read_text(encoding="utf-8") for part in parts)
        for parts in stages
    )
    program = context.program(vertex_shader=vertex, fragment_shader=fragment)
    block = program.get("Scene", None)
    if isinstance(block, moderngl.UniformBlock):
        block.binding = 0
    return program


def load_texture(context: moderngl.Context, path: Path, *, gray: bool = False) -> moderngl.Texture:
    """A mipmapped texture with v pointing up; at most 512 px wide, which is all a crop shows."""
    with Image.open(path) as file:
        picture = file.convert("L" if gray else "RGBA")
    if picture.width > 512:
        picture = picture.resize((512, 512), Image.Resampling.LANCZOS)
    flipped = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    texture = context.texture(picture.size, 1 if gray else 4, flipped.tobytes(), alignment=1)
    texture.build_mipmaps()
    texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
    return texture


class DrawnMesh:
    """A surface in GPU memory that can be drawn by one program.

    Args:
        fixed: (U, 8) float32 columns of `FIXED`, per drawn vertex.
    """

    def __init__(
        self,
        context: moderngl.Context,
        program: moderngl.Program,
        surface: Surface,
        fixed: NDArray[np.float32],
    ) -> None:
        self.surface = surface
        self._moving = context.buffer(reserve=len(surface.position) * 28, dynamic=True)
        columns = context.buffer(np.ascontiguousarray(fixed, np.float32).tobytes())
        self._array = context.vertex_array(
            program,
            [
                (self._moving, *attribute_layout(program, MOVING)),
                (columns, *attribute_layout(program, FIXED)),
            ],
            context.buffer(surface.index.tobytes()),
        )

    def draw(
        self,
        positions: NDArray[np.float32],
        normals: NDArray[np.float32],
        key_seen: NDArray[np.float32] | None = None,
    ) -> None:
        """Draw with new (N, 3) positions and normals; `key_seen` (N,) is 1 where None."""
        self.move(positions, normals, key_seen)
        self.redraw()

    def move(
        self,
        positions: NDArray[np.float32],
        normals: NDArray[np.float32],
        key_seen: NDArray[np.float32] | None = None,
    ) -> None:
        """Upload new positions and normals."""
        index = self.surface.position
        rows = np.ones((len(index), 7), np.float32)
        rows[:, 0:3] = positions[index]
        rows[:, 3:6] = normals[index]
        if key_seen is not None:
            rows[:, 6] = key_seen[index]
        self._moving.write(rows.tobytes())

    def redraw(self) -> None:
        """Draw again what was last uploaded."""
        self._array.render()


def attribute_layout(
    program: moderngl.Program, attributes: tuple[tuple[str, int], ...]
) -> list[str]:
    """Give moderngl's format of interleaved floats; what the program does not use is skipped."""
    formats, names = [], []
    for name, width in attributes:
        used = name in program
        formats.append(f"{width}f" if used else f"{4 * width}x")
        names += [name] if used else []
    return [" ".join(formats), *names]


class Target:
    """What is drawn into: a picture and a mask, larger than the result by `supersampling`."""

    def __init__(self, context: moderngl.Context, size_px: int, supersampling: float) -> None:
        side = round(size_px * supersampling)
        self._size_px = size_px
        self._buffer = context.framebuffer(
            [context.texture((side, side), 4), context.texture((side, side), 1)],
            context.depth_renderbuffer((side, side)),
        )

    def begin(self) -> None:
        """Make it the target and clear it."""
        self._buffer.use()
        self._buffer.clear(0.0, 0.0, 0.0, 1.0, depth=1.0)

    def write_depth(self, enabled: bool) -> None:
        """Say whether what is drawn next hides what is drawn later."""
        self._buffer.depth_mask = enabled

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read the picture (S, S, 3) RGB and the mask (S, S), averaged down.

        The mask stays above 0 wherever any part of a pixel was.
        """
        picture = self._average(self._read(0, 3))
        drawn = self._read(1, 1)[:, :, 0]
        touched = self._average((drawn > 0).view(np.uint8) * np.uint8(255)) > 0
        return picture, np.maximum(self._average(drawn), touched.view(np.uint8))

    def _average(self, samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = (self._size_px, self._size_px)
        return np.asarray(Image.fromarray(samples).resize(size, Image.Resampling.BOX))

    def _read(self, attachment: int, channels: int) -> NDArray[np.uint8]:
        raw: Any = self._buffer.read(components=channels, attachment=attachment, alignment=1)
        side = self._buffer.width
        return np.frombuffer(raw, np.uint8).reshape(side, side, channels)[::-1]
