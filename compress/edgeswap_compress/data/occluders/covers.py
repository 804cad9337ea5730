"""Cloth on a head: medical masks, scarves, high collars, hoods and headbands; and beards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.occluders.solids import CLOTH, PLAIN, Material, Solid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.head import Head
    from edgeswap_compress.data.people.relief import Relief
    from edgeswap_compress.data.people.variety import Beard

    Field = NDArray[np.float32]

KINDS = ("mask", "scarf", "hood", "headband")
BEARD_LAYERS = 7


def draw_cover(
    rng: Generator, head: Head, face: NDArray[np.float32], relief: Relief, kind: str
) -> Solid:
    """Draw a piece of cloth on a head.

    Args:
        rng: where all of its randomness comes from.
        head: the morphable head.
        face: (N, 3) the unposed head that wears it.
        relief: of all faces of the scene.
        kind: one of `KINDS`.
    """
    inside = {"mask": _mask, "scarf": _scarf, "hood": _hood, "headband": _headband}[kind](
        rng, head.base
    )
    gap = {"mask": 0.05, "scarf": 0.18, "hood": 0.20, "headband": 0.17}[kind]
    wave = np.sin(face @ rng.normal(0, 5, (3, 1)) + rng.uniform(0, 6))[:, 0]
    loose = gap + (0.0 if kind == "mask" else 0.06 * wave)
    placed = face + head.body.normals(face) * np.asarray(loose, np.float32)[..., None]
    placed = _stretched(head, placed, rounds=8)
    front = face[:, 2] > 0.35
    over = np.maximum(relief.top(placed), relief.smooth(placed) + 0.03) + 0.5 * gap
    placed[front, 2] = np.maximum(placed, np.stack([placed[:, 0], placed[:, 1], over], 1))[front, 2]
    return _shell(head, placed.astype(np.float32), inside, _cloth(rng, kind))


def _stretched(head: Head, placed: Field, *, rounds: int) -> Field:
    """Cloth bridges hollows: every vertex moves to the middle of its neighbors, a few times."""
    incidence = head.body.incidence
    count = np.maximum(np.asarray(incidence.sum(1)), 1).astype(np.float32)
    for _ in range(rounds):
        middles = placed[head.body.corners].mean(1)
        placed = np.where(count > 1, incidence @ middles / count, placed).astype(np.float32)
    return placed


def _shell(head: Head, placed: Field, inside: Field, material: Material) -> Solid:
    """The skin's triangles where the field is positive somewhere; uv.x carries the field."""
    surface = head.body
    kept = (inside[surface.corners] > 0).any(1)
    used, index = np.unique(surface.corners[kept].reshape(-1), return_inverse=True)
    uv = np.stack([inside[used], np.zeros(len(used), np.float32)], axis=1)
    uniforms = {**material.uniforms, "cut": True}
    return Solid(
        positions=placed[used],
        index=index.reshape(-1, 3).astype(np.int32),
        uv=uv.astype(np.float32),
        anchor=head.base[used],
        material=replace(material, uniforms=uniforms),
    )


def _mask(rng: Generator, base: NDArray[np.float32]) -> Field:
    """From the bridge of the nose to under the chin."""
    x, y, z = base.T
    top = rng.uniform(6.88, 7.08) - 0.32 * np.clip(np.abs(x) - 0.12, 0, 1)
    sides = rng.uniform(0.62, 0.74) - np.abs(x)
    field: Field = np.minimum(np.minimum(top - y, y - 6.02), np.minimum(sides, z - 0.1))
    return field.astype(np.float32)


def _scarf(rng: Generator, base: NDArray[np.float32]) -> Field:
    """Around the neck, up to the chin, the mouth or the nose."""
    y = base[:, 1]
    top = rng.choice([6.15, 6.35, 6.62, 6.85]) + rng.normal(0, 0.05)
    tilt = rng.normal(0, 0.08) * base[:, 0] + 0.12 * np.clip(0.8 - base[:, 2], 0, 1)
    return np.minimum(top + tilt - y, y - 4.7).astype(np.float32)


def _hood(rng: Generator, base: NDArray[np.float32]) -> Field:
    """All of the head but an opening for the face."""
    x, y, z = base.T
    wide, tall = rng.uniform(0.50, 0.70), rng.uniform(0.80, 1.05)
    away = (np.abs(x / wide) ** 2.3 + np.abs((y - 7.05) / tall) ** 2.3) ** (1 / 2.3)
    field: Field = np.where(z > 0.2, away - 1, 1)
    return field.astype(np.float32)


def _headband(rng: Generator, base: NDArray[np.float32]) -> Field:
    """A band or the rim of a cap around the forehead."""
    y = base[:, 1] + 0.10 * base[:, 2]
    low = rng.uniform(7.75, 8.02)
    high = low + rng.uniform(0.14, 0.4) if rng.random() < 0.4 else 9.9
    return np.minimum(y - low, high - y).astype(np.float32)


def _cloth(rng: Generator, kind: str) -> Material:
    if kind == "mask" and rng.random() < 0.65:
        first = np.array([[0.30, 0.52, 0.62], [0.75, 0.76, 0.76], [0.02, 0.02, 0.02]])[
            int(rng.integers(3))
        ]
        second, pattern = 0.85 * first, PLAIN
    else:
        first, second = (np.exp(rng.normal(-1.7, 0.8, 3)).clip(0.01, 0.8) for _ in range(2))
        if rng.random() < 0.5:
            second = 0.85 * first
        pattern = CLOTH
    uniforms = {"kind": pattern, "first": tuple(float(v) for v in first),
                "second": tuple(float(v) for v in second), "gloss": 0.05,
                "scale": float(rng.uniform(0.5, 2.5))}  # fmt: skip
    return Material(program="solid", uniforms=uniforms)


def draw_beard(
    head: Head, face: NDArray[np.float32], faces: Sequence[NDArray[np.float32]], beard: Beard
) -> list[Solid]:
    """The layers of a beard, skin to tips.

    Args:
        head: the morphable head.
        face: (N, 3) the unposed head that wears it.
        faces: (N, 3) every face worn in the scene; the beard lies over all of them.
        beard: what it is like.
    """
    base = head.base
    region = (base[:, 1] < 7.05) & (base[:, 1] > 5.75) & (base[:, 2] > -0.3)
    surface = head.body
    kept = region[surface.corners].all(1)
    used, index = np.unique(surface.corners[kept].reshape(-1), return_inverse=True)
    normals = surface.normals(face)[used]
    out = np.max([((other - face)[used] * normals).sum(1) for other in faces], axis=0)
    root = face[used] + np.maximum(out, 0)[:, None] * normals
    down = np.array([0.0, -1.0, 0.15], np.float32)
    # Above the mouth hair is cut, or it would hang over the lips.
    above = (base[used, 1] > 6.55) & (np.abs(base[used, 0]) < 0.42)
    length = np.where(above, min(beard.length_dm, 0.045), beard.length_dm)[:, None]
    layers = []
    for k in range(BEARD_LAYERS):
        part = (k + 0.5) / BEARD_LAYERS
        grown = length * part
        # Long hairs hang: the tips bend down the farther they are from the skin.
        hang = np.minimum(1.0, length / 0.18) * part
        move = normals * (1 - 0.5 * hang) + down * hang
        uniforms = {"color": beard.color, "layer": float(part), "density": beard.density,
                    "reach": beard.reach, "lift": beard.lift_dm}  # fmt: skip
        layers.append(
            Solid(
                positions=(root + (0.006 + grown) * move).astype(np.float32),
                index=index.reshape(-1, 3).astype(np.int32),
                uv=np.zeros((len(used), 2), np.float32),
                anchor=base[used],
                material=Material(program="shell", uniforms=uniforms, blended=True),
            )
        )
    return layers
