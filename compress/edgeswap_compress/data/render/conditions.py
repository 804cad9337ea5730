"""Conditions of renderer 4: pose, light, camera and what stands before the face, all named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.people.scene import Scene, draw_scene
from edgeswap_compress.data.render.film import Film, draw_film
from edgeswap_compress.data.render.lights import ANY_LIGHT, LIGHTS

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

Triple = tuple[float, float, float]

_TINTS = {"blue": (0.35, 0.6, 1.6), "green": (0.55, 1.4, 0.6), "warm": (1.6, 0.85, 0.35)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamp:
    """How a scene is lit beyond what `Scene` says.

    Attributes:
        name: one of `LIGHTS`.
        level: display brightness of the face that the camera aims at, 0 .. 1.
        hardness: 0 soft .. 1 hard shadows.
        backdrop: brightness of the background.
        dim: 0 .. 1, how dark it is for the camera.
    """

    name: str
    level: float
    hardness: float
    backdrop: float
    dim: float


def draw_pose(rng: Generator, *, frontal: bool) -> Scene:
    """Version 3's scene with wider angles; its light is replaced by `light_scene`."""
    scene = draw_scene(rng, frontal=frontal)
    wide = rng.random() < (0.10 if frontal else 0.38)
    far = float(rng.uniform(-60, 60))
    yaw, pitch, roll = rng.normal(0, 1, 3)
    if frontal:
        turn = far / 2 if wide else float(np.clip(9 * yaw, -22, 22))
        return replace(scene, yaw_deg=turn, background_kind=int(rng.integers(6)))
    return replace(
        scene,
        yaw_deg=far if wide else float(np.clip(15 * yaw, -35, 35)),
        pitch_deg=float(np.clip(9 * pitch, -24, 24)),
        roll_deg=float(np.clip(9 * roll, -35, 35)),
        background_kind=int(rng.integers(6)),
    )


def light_scene(rng: Generator, scene: Scene, kind: str = ANY_LIGHT) -> tuple[Scene, Lamp, Film]:
    """Light a scene and choose its camera.

    Args:
        rng: where all of its randomness comes from.
        scene: whose light is replaced.
        kind: one of `LIGHTS`, or "any" to draw one.
    """
    odds = np.array(list(LIGHTS.values()))
    drawn = list(LIGHTS)[int(rng.choice(len(odds), p=odds / odds.sum()))]
    name = drawn if kind == ANY_LIGHT else kind
    own = np.random.default_rng(rng.integers(2**63))  # equally long draws for every kind
    film_rng = np.random.default_rng(rng.integers(2**63))
    lit, lamp, tint = _apply(own, scene, name)
    return lit, lamp, draw_film(film_rng, dim=lamp.dim, tint=tint)


def _apply(
    rng: Generator, scene: Scene, name: str
) -> tuple[Scene, Lamp, NDArray[np.float64] | None]:
    soft = {
        "level": float(np.clip(rng.normal(0.55, 0.08), 0.34, 0.74)),
        "hardness": float(rng.uniform(0, 0.9)),
        "backdrop": float(np.exp(rng.normal(-0.1, 0.5))),
        "dim": float(0.15 * rng.random()),
    }
    if name == "dim":
        level = 0.50 * float(rng.uniform(0.12, 0.6)) ** (1 / 2.2)
        dim = float(rng.uniform(0.4, 1.0))
        return scene, Lamp(name=name, **{**soft, "level": level, "dim": dim}), None
    if name in ("blue", "green", "warm", "party"):
        tint = _tint(rng, name)
        lit = _tinted(scene, tint)
        dim = float(rng.uniform(0.0, 0.6))
        level = soft["level"] * float(rng.uniform(0.6, 1.0))
        return lit, Lamp(name=name, **{**soft, "level": level, "dim": dim}), tint
    if name == "side":
        sign = float(rng.choice([-1, 1]))
        direction = np.array([sign, rng.uniform(-0.3, 0.7), rng.uniform(-0.25, 0.45)])
        lit = _keyed(scene, direction, key=rng.uniform(1.2, 2.4), fill=rng.uniform(0.06, 0.35))
        level = soft["level"] * 0.9
        return lit, Lamp(name=name, **{**soft, "level": level, "hardness": 0.9}), None
    if name == "back":
        direction = np.array([rng.normal(0, 0.9), rng.uniform(0.2, 1.0), -1.0])
        lit = _keyed(scene, direction, key=rng.uniform(1.0, 2.5), fill=rng.uniform(0.4, 0.8))
        rim = np.array(lit.key_color) * rng.uniform(0.5, 1.4)
        lit = replace(lit, rim_direction=lit.key_direction, rim_color=_triple(rim))
        level = soft["level"] * float(rng.uniform(0.55, 0.95))
        backdrop = float(rng.uniform(1.5, 5.0))
        return lit, Lamp(name=name, **{**soft, "level": level, "backdrop": backdrop}), None
    if name == "flash":
        direction = np.array([rng.normal(0, 0.1), rng.uniform(0.05, 0.25), 1.0])
        lit = _keyed(scene, direction, key=rng.uniform(1.3, 1.8), fill=rng.uniform(0.1, 0.3))
        level = float(rng.uniform(0.55, 0.70))
        backdrop = float(rng.uniform(0.05, 0.4))
        lamp = Lamp(name=name, level=level, hardness=1.0, backdrop=backdrop, dim=0.3)
        return lit, lamp, None
    if name == "sun":
        direction = np.array([rng.normal(0, 0.7), rng.uniform(0.5, 1.3), rng.uniform(0.1, 1.0)])
        lit = _keyed(scene, direction, key=rng.uniform(1.6, 2.6), fill=rng.uniform(0.25, 0.5))
        lit = replace(lit, key_color=_triple(np.array(lit.key_color) * [1.06, 1.0, 0.88]))
        return lit, Lamp(name=name, **{**soft, "hardness": 1.0, "dim": 0.0}), None
    return scene, Lamp(name=name, **soft), None


def _tint(rng: Generator, name: str) -> NDArray[np.float64]:
    if name == "party":
        tint = np.exp(rng.normal(0, 0.8, 3))
    else:
        tint = np.array(_TINTS[name]) ** rng.uniform(0.5, 1.0)
    return tint / tint.mean()


def _tinted(scene: Scene, tint: NDArray[np.float64]) -> Scene:
    near = np.sqrt(tint)  # the background has light of its own
    first, second, third = (np.array(color) for color in scene.background)
    return replace(
        scene,
        key_color=_triple(np.array(scene.key_color) * tint),
        sky_color=_triple(np.array(scene.sky_color) * tint),
        ground_color=_triple(np.array(scene.ground_color) * tint**0.7),
        background=(_triple(first * near), _triple(second * near), _triple(third * near)),
    )


def _keyed(scene: Scene, direction: NDArray[np.float64], *, key: float, fill: float) -> Scene:
    """Another main light, with that much light from all around beside it."""
    color = np.array(scene.key_color)
    around = np.array(scene.sky_color)
    sky = around / around.mean() * fill
    return replace(
        scene,
        key_direction=_triple(direction / np.linalg.norm(direction)),
        key_color=_triple(color / color.mean() * key),
        sky_color=_triple(sky),
        ground_color=_triple(0.6 * sky),
    )


def _triple(values: NDArray[np.floating]) -> Triple:
    x, y, z = (float(v) for v in values)
    return x, y, z
