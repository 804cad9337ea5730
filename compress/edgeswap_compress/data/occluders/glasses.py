"""Glasses: rims of many shapes, bridge, temples, clear and dark lenses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.occluders.solids import PLAIN, SPOTS, Material, Solid, sheet, tube

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.relief import Relief

_POINTS = 40
_TINTS = np.array([[0.02, 0.02, 0.022], [0.06, 0.035, 0.015], [0.02, 0.05, 0.03],
                   [0.02, 0.03, 0.09], [0.10, 0.03, 0.05], [0.20, 0.12, 0.02]])  # fmt: skip


def draw_glasses(
    rng: Generator, head: Head, face: NDArray[np.float32], relief: Relief, *, dark: bool
) -> list[Solid]:
    """Draw a pair of glasses on a head.

    Args:
        rng: where all of its randomness comes from.
        head: the morphable head.
        face: (N, 3) the unposed head that wears them.
        relief: of all faces of the scene.
        dark: sunglasses.
    """
    eyes = np.array([face[head.joints[f"{side}-eye"]].mean(0) for side in ("right", "left")])
    middle, apart = eyes.mean(0), float(eyes[1, 0] - eyes[0, 0])
    wide, tall = rng.uniform(0.20, 0.275), rng.uniform(0.125, 0.235)
    if dark:
        wide, tall = 1.08 * wide, max(tall, 0.17) * 1.08
    power, droop = rng.uniform(1.9, 4.5), rng.uniform(-0.06, 0.16)
    center = np.array([0.5 * apart + rng.uniform(0.0, 0.03), middle[1] - rng.uniform(0.0, 0.06)])
    wide = min(wide, center[0] - 0.065)
    bend = rng.uniform(0.12, 0.34)
    outlines = [_outline(center, wide, tall, power, droop, side) for side in (-1, 1)]
    front = _Front(relief, outlines, middle, bend)
    rims = [np.column_stack([flat, front(flat)]) for flat in outlines]
    frame = _frame_material(rng)
    kind = rng.random()  # full, half or no rim
    thick = float(np.exp(rng.uniform(np.log(0.010), np.log(0.038))))
    glass = lens_material(rng, dark=dark)
    solids = [
        _lens(rim, front, center * [side, 1], glass)
        for rim, side in zip(rims, (-1, 1), strict=True)
    ]
    for rim in rims:
        if kind < 0.70:
            solids.append(tube(_closed(rim), thick, frame, flat=0.7))
        elif kind < 0.88:
            upper = rim[: _POINTS // 2 + 1]
            solids.append(tube(upper, thick, frame, flat=0.7))
    solids.append(_bridge(rng, center, wide, tall, front, min(thick, 0.026), frame))
    solids += _temples(face, rims, middle, thick, frame)
    return solids


def _outline(
    center: NDArray[np.floating],
    wide: float,
    tall: float,
    power: float,
    droop: float,
    side: int,
) -> NDArray[np.float64]:
    """A rounded outline (P, 2), counter-clockwise from the outer end; `droop` widens its foot."""
    angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    x, y = (np.sign(v) * np.abs(v) ** (2 / power) for v in (np.cos(angle), np.sin(angle)))
    x = x * (1 - droop * (y < 0) * np.abs(y))
    return np.stack([side * (center[0] + wide * x), center[1] + tall * y], axis=1)


def _closed(rim: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([rim, rim[:2]])


class _Front:
    """The bent plane the lenses lie in, just before all faces: z at (M, 2) points."""

    def __init__(
        self,
        relief: Relief,
        outlines: list[NDArray[np.float64]],
        middle: NDArray[np.floating],
        bend: float,
    ) -> None:
        self._bend, self._y = bend, float(middle[1])
        points = np.concatenate([*outlines, [[0.0, middle[1] + 0.02]]])
        self._z = 0.0
        over = relief.top(points) - self(points)
        self._z = float(np.percentile(over, 92)) + 0.035

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        x, y = points[:, 0], points[:, 1]
        flat: NDArray[np.float64] = self._z - self._bend * x * x + 0.10 * (y - self._y)
        return flat


def _frame_material(rng: Generator) -> Material:
    """Black or colored plastic, tortoiseshell, or metal."""
    kind = rng.random()
    if kind < 0.45:
        color = np.array([0.012, 0.012, 0.013]) * np.exp(rng.normal(0, 0.3))
    elif kind < 0.65:
        color = np.exp(rng.normal(-2.2, 0.9, 3))
    elif kind < 0.80:
        color = np.array([0.10, 0.045, 0.015])
    else:
        color = np.array([0.45, 0.42, 0.36]) * np.exp(rng.normal(0, 0.25, 3))
    spots = 0.65 <= kind < 0.80
    first = (float(color[0]), float(color[1]), float(color[2]))
    uniforms = {"kind": SPOTS if spots else PLAIN, "first": first, "second": (0.015, 0.01, 0.008),
                "gloss": float(rng.uniform(0.4, 1.0)), "scale": 6.0}  # fmt: skip
    return Material(program="solid", uniforms=uniforms)


def _lens(
    rim: NDArray[np.float64], front: _Front, center: NDArray[np.floating], glass: Material
) -> Solid:
    steps = np.linspace(0, 1, 7)[:, None, None]
    ring = _closed(rim)[:-1, :2]
    flat = center[None, None] + steps * (ring[None] - center[None, None])
    points = np.concatenate([flat.reshape(-1, 2), front(flat.reshape(-1, 2))[:, None]], axis=1)
    domed = points.reshape(*flat.shape[:2], 3)
    domed[:, :, 2] += 0.04 * (1 - steps[:, :, 0] ** 2)
    return sheet(domed, glass)


def lens_material(rng: Generator, *, dark: bool) -> Material:
    """Clear lenses hide a few percent of what is behind them, dark ones most of it."""
    if dark:
        color, opacity = _TINTS[int(rng.integers(len(_TINTS)))], rng.uniform(0.62, 0.99)
    else:
        color, opacity = np.array([0.5, 0.5, 0.5]), rng.uniform(0.01, 0.09)
    window = rng.normal(0, 1, 3) * [0.5, 0.35, 0] + [0, 0.25, 1.0]
    window /= np.linalg.norm(window)
    strength = rng.uniform(2.0, 14.0) * (rng.random() < 0.55)
    uniforms = {
        "tint": (*(float(c) for c in color), float(opacity)),
        "window": (*(float(c) for c in window), float(strength)),
        "mirror": float(rng.uniform(0.4, 1.4)),
    }
    return Material(program="lens", uniforms=uniforms, blended=True)


def _bridge(
    rng: Generator,
    center: NDArray[np.floating],
    wide: float,
    tall: float,
    front: _Front,
    thick: float,
    frame: Material,
) -> Solid:
    inner = center[0] - wide
    height = center[1] + tall * rng.uniform(0.15, 0.55)
    x = np.linspace(-inner - 0.02, inner + 0.02, 11)
    y = height + 0.035 * (1 - (x / (inner + 0.02)) ** 2)
    flat = np.stack([x, y], axis=1)
    return tube(np.column_stack([flat, front(flat) + 0.02]), thick, frame)


def _temples(
    face: NDArray[np.float32],
    rims: list[NDArray[np.float64]],
    middle: NDArray[np.floating],
    thick: float,
    frame: Material,
) -> list[Solid]:
    """From the outer ends back over the ears."""
    beside = (np.abs(face[:, 1] - middle[1]) < 0.12) & (face[:, 2] > 0.25) & (face[:, 2] < 0.9)
    solids = []
    for rim, side in zip(rims, (-1, 1), strict=True):
        hinge = rim[_POINTS // 12]
        reach = max(float((side * face[beside, 0]).max()), side * hinge[0]) + 0.02
        ear = np.array([side * reach, middle[1] + 0.06, 0.05])
        out = side * hinge[0] + min(0.06, 0.35 * (reach - side * hinge[0]))
        end = [side * out, hinge[1], hinge[2] - 0.05]
        corner = np.array(end)
        down = ear + np.array([0, -0.22, -0.22])
        between = (corner + t * (ear - corner) for t in (0.3, 0.65))
        path = np.stack([hinge, corner, *between, ear, down])
        solids.append(tube(path, min(1.1 * thick, 0.035), frame))
    return solids
