"""Things that people hold before their faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.occluders.solids import (
    PLAIN,
    SPOTS,
    STRIPES,
    WIRE,
    Material,
    Solid,
    ellipsoid,
    lathe,
    tube,
    turn_about,
)

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

KINDS = ("cup", "microphone", "phone", "stick", "food")


def draw_prop(rng: Generator, kind: str) -> tuple[list[Solid], float]:
    """Draw a thing in its own frame: upright, its middle at the origin, z to the camera.

    Returns:
        its parts and the radius in dm at which a hand closes on it.
    """
    return {
        "cup": _cup,
        "microphone": _microphone,
        "phone": _phone,
        "stick": _stick,
        "food": _food,
    }[kind](rng)


def _paint(rng: Generator, *, kind: int | None = None, gloss: float | None = None) -> Material:
    color, other = (np.exp(rng.normal(-1.3, 0.9, 3)).clip(0.01, 0.85) for _ in range(2))
    gray = color.mean()
    color = gray + rng.uniform(0.1, 1.0) * (color - gray)
    chosen = int(rng.choice([PLAIN, PLAIN, STRIPES, SPOTS])) if kind is None else kind
    uniforms = {
        "kind": chosen,
        "first": _triple(color),
        "second": _triple(other),
        "gloss": float(rng.uniform(0.1, 0.9)) if gloss is None else gloss,
        "scale": float(rng.uniform(1.5, 5.0)),
    }
    return Material(program="solid", uniforms=uniforms)


def _cup(rng: Generator) -> tuple[list[Solid], float]:
    """A mug with a handle, a paper cup with a lid, or a drinking glass seen from outside."""
    radius, height = rng.uniform(0.32, 0.48), rng.uniform(0.7, 1.25)
    foot = radius * rng.uniform(0.7, 1.0)
    h = height / 2
    wall = [[0.0, -h], [foot, -h], [0.5 * (foot + radius), 0.0], [radius, h], [radius - 0.04, h],
            [0.9 * foot, -0.8 * h]]  # fmt: skip
    solids = [lathe(np.array(wall), _paint(rng))]
    kind = rng.random()
    if kind < 0.5:
        angle = np.linspace(-1.4, 1.4, 14)
        side = rng.choice([-1.0, 1.0])
        bow = np.stack([side * (0.93 * radius + 0.28 * np.cos(angle)), 0.32 * np.sin(angle),
                        0 * angle], axis=1)  # fmt: skip
        solids.append(tube(bow, 0.055, solids[0].material))
    elif kind < 0.8:
        lid = [[0.0, h + 0.09], [0.8 * radius, h + 0.09], [1.05 * radius, h + 0.02],
               [1.05 * radius, h - 0.05]]  # fmt: skip
        solids.append(lathe(np.array(lid), _paint(rng, kind=PLAIN, gloss=0.3)))
    return solids, float(radius)


def _microphone(rng: Generator) -> tuple[list[Solid], float]:
    ball = rng.uniform(0.23, 0.36)
    wire = _paint(rng, kind=WIRE, gloss=0.8)
    gray = float(np.exp(rng.normal(-1.6, 0.6)))
    wire = Material(
        program="solid",
        uniforms={**wire.uniforms, "first": (gray, gray, gray), "second": (0.01, 0.01, 0.01),
                                  "scale": 36.0},
    )  # fmt: skip
    if rng.random() < 0.25:
        wire = _paint(rng, kind=PLAIN, gloss=0.05)  # a foam cover
    head = ellipsoid((ball, ball * rng.uniform(1.0, 1.25), ball), wire)
    body = [[0.14, -1.9], [0.15, -1.2], [0.18, -0.4], [0.62 * ball, -0.75 * ball],
            [1.06 * ball, -0.12 * ball], [1.06 * ball, 0.05]]  # fmt: skip
    handle = lathe(np.array(body), _paint(rng, kind=PLAIN, gloss=0.4))
    return [head, handle], 0.20


def _phone(rng: Generator) -> tuple[list[Solid], float]:
    wide, tall = rng.uniform(0.34, 0.42), rng.uniform(0.68, 0.84)
    back = ellipsoid((wide, tall, 0.045), _paint(rng, kind=PLAIN), power=9)
    glass = _paint(rng, kind=PLAIN, gloss=1.0)
    black = Material(program="solid", uniforms={**glass.uniforms, "first": (0.008, 0.008, 0.01)})
    bump = ellipsoid((0.12, 0.12, 0.03), black, power=5)
    shift = np.array([-wide + 0.17, tall - 0.19, 0.05])
    return [back, bump.moved(np.eye(3), shift)], 0.4


def _stick(rng: Generator) -> tuple[list[Solid], float]:
    """A straw, pen, brush, cigarette or spoon's handle."""
    length, radius = rng.uniform(0.8, 2.0), rng.uniform(0.022, 0.055)
    path = np.stack([np.zeros(8), np.linspace(-length / 2, length / 2, 8), np.zeros(8)], axis=1)
    return [tube(path, radius, _paint(rng))], 0.1


def _food(rng: Generator) -> tuple[list[Solid], float]:
    """An apple, a sandwich, an ice cream."""
    radii = rng.uniform(0.22, 0.55, 3)
    solid = ellipsoid(tuple(radii), _paint(rng, gloss=0.4), power=float(rng.uniform(1.8, 3.5)))
    return [solid], float(radii[0])


def hold_at(
    rng: Generator, solids: list[Solid], at: NDArray[np.floating], *, lean_deg: float
) -> tuple[list[Solid], NDArray[np.float64]]:
    """Put a thing's middle at (3,) dm, leaning.

    Returns:
        the parts and the (3, 3) turn that was applied.
    """
    turn = turn_about([0, 0, 1], lean_deg) @ turn_about([1, 0, 0], rng.normal(0, 14))
    turn = turn @ turn_about([0, 1, 0], rng.uniform(-40, 40))
    return [solid.moved(turn, at) for solid in solids], turn


def _triple(values: NDArray[np.floating]) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
