"""People of renderer 4: more kinds of faces, hair and beards than version 3 draws."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.people._face import identity_shape
from edgeswap_compress.data.people.identity import Adult, draw_identity
from edgeswap_compress.data.people.stage import Person

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from edgeswap_compress.data.people.head import Head

Triple = tuple[float, float, float]

SHORT_HAIR = ("short01", "short02", "short04", "afro01")
LONG_HAIR = ("ponytail01", "long01", "bob02", "curly", "curly2", "long_alpha7")
FRINGES = ("long2_alpha7", "junglebookhair", "bob01", "short03", "Braid01")
"""Styles that hang over the forehead or an eye."""
TEETH = ("Teeth_Shape01", "Teeth_Shape02", "Teeth_Shape03", "Teeth_Shape04", "Teeth_Shape05")
_LUMPS, _WIDE_LUMPS = 14, 6
_DYES = np.array([[0.30, 0.03, 0.03], [0.04, 0.10, 0.30], [0.25, 0.05, 0.22], [0.45, 0.40, 0.33],
                  [0.05, 0.22, 0.16]])  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Beard:
    """A beard that stands off the skin; shorter ones are stubble, which is skin.

    Attributes:
        length_dm: of its hairs, 0.015 .. 0.35.
        density: 0 sparse .. 1 thick.
        reach: 0 chin and upper lip .. 1 up to the ears.
        lift_dm: of its upper line.
        color: linear RGB.
    """

    length_dm: float
    density: float
    reach: float
    lift_dm: float
    color: Triple


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailedAdult(Adult):
    """One synthetic adult with what version 3 did not know.

    Attributes:
        lumps: (L, 7) values: center (dm), radius (dm), move (dm) of smooth changes of the head's
            shape that no slider makes; mirrored to the other side.
        teeth: a shape; enamel: linear RGB.
        sclera: linear RGB of the eyes' white.
        redness, blotches, roughness: of the skin, 0 .. 1.
        streaks: variation of the hair's color from strand to strand.
        beard: if it stands off the skin.
    """

    lumps: tuple[tuple[float, ...], ...]
    teeth: str
    enamel: Triple
    sclera: Triple
    redness: float
    blotches: float
    roughness: float
    streaks: float
    beard: Beard | None


def draw_detailed(rng: Generator, head: Head, *, fringe: bool = False) -> DetailedAdult:
    """Draw one adult.

    Args:
        rng: where all of its randomness comes from.
        head: the morphable head.
        fringe: hair that hangs over the face.
    """
    plain = draw_identity(rng, head.sliders, len(head.asymmetries))
    male = plain.sex > 0.5
    sliders = np.array(plain.sliders) * rng.uniform(0.9, 1.2)
    hair_color = np.array(plain.hair_color)
    if rng.random() < 0.06:
        hair_color = _DYES[int(rng.integers(len(_DYES)))] * np.exp(rng.normal(0, 0.2))
    # Melanin darkens blue more than red; blood reddens.
    melanin, blood = rng.normal(0, 0.24), rng.normal(0, 0.06)
    tint = melanin * np.array([0.75, 1.0, 1.25]) + blood * np.array([0.35, -0.5, -0.35])
    changed = replace(
        plain,
        sliders=tuple(float(np.clip(v, -1.25, 1.25)) for v in sliders),
        skin_tint=_triple(np.clip(tint + rng.normal(0, 0.03, 3), -0.9, 0.45)),
        hair=_hair(rng, male=male, fringe=fringe, plain=plain.hair),
        hair_color=_triple(hair_color),
        lip_tint=_triple(np.array(plain.lip_tint) * (0.55 if male else 0.8)),
        brow_density=float(np.exp(rng.uniform(np.log(0.35), np.log(4.5)))),
        stubble=min(1.0, plain.stubble * 1.15),
    )
    white, green = rng.uniform(0.42, 0.78), rng.uniform(0.86, 0.97)
    return DetailedAdult(
        **{field.name: getattr(changed, field.name) for field in fields(Adult)},
        lumps=_lumps(rng),
        teeth=TEETH[int(rng.integers(len(TEETH)))],
        enamel=_triple(white * np.array([1.0, green, green * rng.uniform(0.70, 0.93)])),
        sclera=_triple(rng.uniform(0.55, 0.8) * np.exp(rng.normal(0, 0.05, 3))),
        redness=float(np.clip(rng.normal(0.35, 0.4), 0, 1.4)),
        blotches=float(rng.beta(1.0, 2.0)),
        roughness=float(rng.uniform(0.15, 1.0)),
        streaks=float(rng.uniform(0.2, 1.4)),
        beard=_beard(rng, plain),
    )


def _hair(rng: Generator, *, male: bool, fringe: bool, plain: str | None) -> str | None:
    if fringe:
        return FRINGES[int(rng.integers(len(FRINGES)))]
    if plain is None:
        return None
    long = rng.random() < (0.12 if male else 0.75)
    styles = LONG_HAIR if long else SHORT_HAIR
    return styles[int(rng.integers(len(styles)))]


def _beard(rng: Generator, plain: Adult) -> Beard | None:
    """A third of the men: short boxed beards to long ones."""
    wears = rng.random() < 0.36
    values = rng.random(4)
    natural = np.array(plain.hair_color)
    tint = np.clip(natural * np.exp(rng.normal([-0.1, -0.2, -0.25], 0.2)), 0.008, 0.5)
    if plain.sex < 0.6 or not wears:
        return None
    return Beard(
        length_dm=float(0.015 * (0.30 / 0.015) ** values[0]),
        density=float(0.35 + 0.65 * values[1]),
        reach=1.0 if values[2] < 0.7 else float(rng.uniform(0, 0.4)),
        lift_dm=float(0.12 * values[3] - 0.06),
        color=_triple(tint),
    )


def _lumps(rng: Generator) -> tuple[tuple[float, ...], ...]:
    """Smooth changes all over the face and skull; those near the middle stay symmetric."""
    rows = []
    for k in range(_LUMPS + _WIDE_LUMPS):
        wide = k >= _LUMPS  # proportions rather than features
        center = [rng.uniform(0, 0.6), rng.uniform(6.2, 8.1), rng.uniform(0.5, 1.7)]
        radius = rng.uniform(0.45, 0.9) if wide else rng.uniform(0.16, 0.42)
        move = rng.normal(0, 0.026 if wide else 0.055 * radius, 3)
        rows.append(tuple(float(v) for v in (*center, radius, *move)))
    return tuple(rows)


def lump_moves(
    lumps: tuple[tuple[float, ...], ...], base: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the lumps add to the resting head: (N, 3) float32, dm, mirror-symmetric in `base`."""
    moves = np.zeros_like(base)
    for x, y, z, radius, *move in lumps:
        for side in (1.0, -1.0):
            away = ((base - np.array([side * x, y, z], np.float32)) ** 2).sum(1)
            weight = np.exp(-away / np.float32(radius**2))
            moves += weight[:, None] * np.array([side * move[0], *move[1:]], np.float32)
    return moves


def make_detailed(head: Head, identity: DetailedAdult) -> Person:
    """Compute a detailed identity's shape."""
    shape = identity_shape(head, identity) + lump_moves(identity.lumps, head.base)
    return Person(identity=identity, shape=shape)


def _triple(values: NDArray[np.floating]) -> Triple:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
