"""The draw calls of renderer 4: which mesh, with which program, textures and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgeswap_compress.data.people.appearance import hair_cards, skin_files, skin_uniforms
from edgeswap_compress.data.render.meshes import Meshes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import moderngl
    from numpy.typing import NDArray

    from edgeswap_compress.data.occluders.occluders import Occluders
    from edgeswap_compress.data.occluders.solids import Solid
    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.identity import Adult
    from edgeswap_compress.data.people.scene import Scene
    from edgeswap_compress.data.people.stage import Person, Stage
    from edgeswap_compress.data.people.variety import DetailedAdult
    from edgeswap_compress.data.render.gpu import Mesh

    Uniforms = Mapping[str, Any]

_OTHER_FOLDERS = {"brow/Moustache": "hair/Moustache", "eyes": "eyes/HighPolyEyes"}
_FOLDERS = {"hair": "hair", "brow": "eyebrows", "lash": "eyelashes", "teeth": "teeth"}


class Wardrobe(Protocol):
    """What drawing needs of the studio that holds textures."""

    head: Head
    data: Path
    masks: Path

    def texture(self, path: Path, *, gray: bool = False) -> moderngl.Texture:
        """Give the texture of a picture file, loaded once."""
        ...

    def mean_skin(self, identity: Adult) -> NDArray[np.float64]:
        """Give the mean linear RGB (3,) of a person's skin."""
        ...


class Drawing:
    """Meshes of the head and of the scene at hand, and how each is drawn.

    Attributes:
        seen: (N,) share of the main light that reaches each vertex of the head.
    """

    def __init__(
        self,
        context: moderngl.Context,
        programs: dict[str, moderngl.Program],
        wardrobe: Wardrobe,
        open_sky: NDArray[np.float32],
    ) -> None:
        self._context = context
        self._programs = programs
        self._wardrobe = wardrobe
        self._meshes = Meshes(context, wardrobe.head, open_sky)
        self._found: dict[str, list[Path]] = {}
        self._skin: Mesh | None = None
        self._eyes: tuple[Mesh, Path] | None = None
        self._solids: list[tuple[Solid, Mesh]] = []
        self._hair: tuple[Mesh, moderngl.Texture] | None = None
        self.seen = np.ones(len(wardrobe.head.base), np.float32)
        corners = context.buffer(np.array([-1, -1, 3, -1, -1, 3], np.float32).tobytes())
        self._backdrop = context.vertex_array(programs["background"], [(corners, "2f", "corner")])

    # A scene ---------------------------------------------------------------------------------

    def prepare(self, stage: Stage, occluders: Occluders) -> None:
        """Upload a scene's hair and solids, and free those of the scene before."""
        identity: Any = stage.wearer.identity
        hidden = "hood" in occluders.names
        self._hair = None if hidden else self._place_hair(stage, identity)
        for _, mesh in self._solids:
            mesh.release()
        self._solids = [(solid, self._meshes.solid(stage, solid)) for solid in occluders.solids]

    def cast_shadows(self) -> None:
        """Draw everything before the face into the shadow map."""
        program = self._programs["shadow"]
        if self._hair is not None:
            mesh, texture = self._hair
            texture.use(0)
            self._set("hair_shadow", {"strands": 0})
            mesh.draw(self._programs["hair_shadow"])
        for solid, mesh in self._solids:
            if solid.material.program in ("solid", "strand"):
                mesh.draw(program)

    def draw_body_depth(self, stage: Stage) -> None:
        """The wearer's own head, which hides what lies behind it."""
        skin = self._meshes.skin(stage.pose.apply(stage.outer), self.seen)
        self._context.enable(self._context.CULL_FACE)
        skin.draw(self._programs["depth"])
        self._context.disable(self._context.CULL_FACE)

    def draw_hair(self, stage: Stage, *, transparent: bool) -> None:
        """The wearer's hair: what is opaque, then what is not."""
        if self._hair is None:
            return
        mesh, texture = self._hair
        identity: Any = stage.wearer.identity
        texture.use(0)
        self._set("hair", {"strands": 0, "color": identity.hair_color,
                           "streaks": identity.streaks, "transparent": transparent})  # fmt: skip
        mesh.draw(self._programs["hair"])

    def draw_solids(self, *, blended: bool) -> None:
        """Occluders: what is opaque, then what is not."""
        for solid, mesh in self._solids:
            material = solid.material
            if material.blended != blended:
                continue
            uniforms = {"cut": False, **material.uniforms} if material.program == "solid" else (
                material.uniforms
            )  # fmt: skip
            for slot, (name, path) in enumerate(material.textures.items()):
                self._wardrobe.texture(path, gray=name == "nails").use(slot)
                uniforms = {**uniforms, name: slot}
            self._set(material.program, uniforms)
            mesh.draw(self._programs[material.program])

    def draw_other(self, other: Stage) -> None:
        """Another person who stands before the first."""
        lit = np.ones_like(self.seen)
        self._skin = self._meshes.skin(other.pose.apply(other.outer), lit)
        self.draw_skin(other.wearer, None)
        identity: Any = other.wearer.identity
        own, self._hair = self._hair, self._place_hair(other, identity, slot="other")
        self.draw_hair(other, transparent=False)
        self._hair = own

    def draw_background(self, scene: Scene, level: float) -> None:
        """What lies behind."""
        first, second, third = scene.background
        self._set("background", {"first": first, "second": second, "third": third,
                                 "seed": scene.background_seed, "kind": scene.background_kind,
                                 "level": level})  # fmt: skip
        self._backdrop.render()

    # A face ----------------------------------------------------------------------------------

    def place_face(self, stage: Stage, face: NDArray[np.float32]) -> None:
        """Upload the skin of an unposed head."""
        self._skin = self._meshes.skin(stage.pose.apply(face), self.seen)

    def cast_own_shadow(self) -> None:
        """Draw the uploaded skin into the shadow map."""
        if self._skin is not None:
            self._skin.draw(self._programs["shadow"])

    def draw_skin(self, wearer: Person, worn: Person | None) -> None:
        """The uploaded skin."""
        mean = self._wardrobe.mean_skin(wearer.identity)
        features: Any = (worn or wearer).identity
        own: Any = wearer.identity
        self._set_skin("wearer", own, np.ones(3), slots=(1, 2))
        tone = mean / self._wardrobe.mean_skin(features)
        self._set_skin("worn", features, tone, slots=(3, 4))
        self._wardrobe.texture(self._wardrobe.masks / "mpfb_lips.jpg", gray=True).use(0)
        self._set("skin", {"lips": 0, "skin_mean": tuple(mean)})
        self._context.enable(self._context.CULL_FACE)
        if self._skin is not None:
            self._skin.draw(self._programs["skin"])
        self._context.disable(self._context.CULL_FACE)

    def draw_mouth(self, stage: Stage, face: NDArray[np.float32], features: DetailedAdult) -> None:
        """Tongue and teeth."""
        part = f"teeth/{features.teeth}"
        self._wardrobe.texture(self._picture(part)).use(0)
        self._set("mouth", {"teeth": 0, "tongue": True, "enamel": features.enamel})
        self._meshes.tongue(stage.pose.apply(face)).draw(self._programs["mouth"])
        self._set("mouth", {"tongue": False})
        self._meshes.fitted(part, stage, face).draw(self._programs["mouth"])

    def draw_eyes(self, stage: Stage, face: NDArray[np.float32], features: DetailedAdult) -> None:
        """The opaque part of both eyes."""
        known = self._pictures("eyes/HighPolyEyes")
        iris = [path for path in known if path.name.endswith("_eye.png")][features.eye_color]
        self._wardrobe.texture(iris).use(0)
        self._set("eye", {"iris": 0, "tint": features.eye_tint, "sclera": features.sclera,
                          "transparent": False})  # fmt: skip
        mesh = self._meshes.fitted("eyes", stage, face)
        mesh.draw(self._programs["eye"])
        self._eyes = mesh, iris

    def finish_eyes(self) -> None:
        """Their transparent part."""
        if self._eyes is not None:
            mesh, iris = self._eyes
            self._wardrobe.texture(iris).use(0)
            self._set("eye", {"transparent": True})
            mesh.draw(self._programs["eye"])

    def draw_cards(self, stage: Stage, face: NDArray[np.float32], features: Adult) -> None:
        """Brows, lashes, moustache."""
        for part, color, opacity, density in hair_cards(features):
            self._wardrobe.texture(self._picture(part)).use(0)
            self._set("card", {"strands": 0, "color": color, "opacity": opacity,
                               "density": density})  # fmt: skip
            self._meshes.fitted(part, stage, face).draw(self._programs["card"])

    # Meshes ----------------------------------------------------------------------------------

    def _set(self, program: str, uniforms: Uniforms) -> None:
        for name, value in uniforms.items():
            self._programs[program][name] = value

    def _set_skin(
        self,
        who: str,
        identity: DetailedAdult,
        tone: NDArray[np.float64],
        *,
        slots: tuple[int, int],
    ) -> None:
        a, b, share = skin_files(self._wardrobe.data, identity)
        for path, slot, letter in zip((a, b), slots, "ab", strict=True):
            self._wardrobe.texture(path).use(slot)
            self._set("skin", {f"{who}_skin_{letter}": slot})
        values = skin_uniforms(identity, share, tone)
        values["lips_tone"] = (*identity.lip_tint, identity.roughness)
        values["patches"] = (identity.redness, identity.blotches, 0.0, 0.0)
        known = {f"{who}.{name}": value for name, value in values.items()}
        program = self._programs["skin"]
        self._set("skin", {name: value for name, value in known.items() if name in program})

    def _picture(self, part: str) -> Path:
        kind, _, name = part.partition("/")
        path = _OTHER_FOLDERS.get(part) or f"{_FOLDERS[kind]}/{name}"
        return self._pictures(path)[0]

    def _pictures(self, folder: str) -> list[Path]:
        """The textures of a proxy's folder, looked up once."""
        if folder not in self._found:
            textures = self._wardrobe.data / f"proxies/{folder}/textures"
            self._found[folder] = sorted(textures.glob("*.png"))
        return self._found[folder]

    def _place_hair(
        self, stage: Stage, identity: DetailedAdult, *, slot: str = ""
    ) -> tuple[Mesh, moderngl.Texture] | None:
        """Hair follows the wearer's own head, so that a swap leaves it as it is."""
        if identity.hair is None:
            return None
        part = f"hair/{identity.hair}"
        mesh = self._meshes.fitted(part, stage, stage.outer, slot=slot)
        return mesh, self._wardrobe.texture(self._picture(part))
